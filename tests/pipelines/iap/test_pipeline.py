"""IAP-AS with fixed answers in place of networks, tagger and language model: whole maps, switches, assumptions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.config.schema import settings_from
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.samples import Manifest, Prediction, Sample, Split
from benchmark.core.settings import Settings
from benchmark.models.choice import WeightsRequest
from benchmark.pipelines.iap.pipeline import IapAs
from benchmark.pipelines.iap.prompters.base import Answer, Request
from benchmark.pipelines.iap.records import read_record
from benchmark.pipelines.iap.taggers.base import ImageTags, Tag, Tagged
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import compose, plan_of
from tests.pictures import save_sample
from tests.pipelines.saa.fakes import Box, FakeModels
from tests.tiny_models import tiny

WIDTH, HEIGHT = 40, 20
WHOLE, EXACT = (0.5, 0.5, 1.0, 1.0), (0.5, 0.5, 0.8, 1.0)
OBJECT, LEFT, RIGHT = (0.5, 0.5, 0.9, 0.9), (0.25, 0.5, 0.3, 0.5), (0.7, 0.5, 0.4, 0.6)
OVER_LEFT, SMALL = (0.26, 0.5, 0.3, 0.5), (0.3, 0.5, 0.1, 0.3)
P_FINAL = "crack. hole. abnormal. defect. cup steel."
OFFICIAL = ". abnormal. crack. defect. hole, cup. steel."
FOUND: Sequence[tuple[Box, float, str]] = [
    (LEFT, 0.4, "crack."),
    (OVER_LEFT, 0.3, "hole."),
    (RIGHT, 0.25, "crack."),
    (SMALL, 0.2, "hole."),
    (WHOLE, 0.5, "cup steel"),
    (OBJECT, 0.1, "cup."),
]
ANSWERS: Mapping[str, Sequence[tuple[Box, float, str]]] = {
    "cup. steel.": [(OBJECT, 0.6, "cup. steel"), (LEFT, 0.3, "cup.")],
    "cup. steel. wood.": [(OBJECT, 0.5, "wood")],
    "cup steel.": [(OBJECT, 0.7, "cup steel"), (WHOLE, 0.2, "cup.")],
    P_FINAL: FOUND,
    OFFICIAL: FOUND,
}


class FixedTagger(Settings):
    """Tags by the image's number, counted."""

    tags: tuple[tuple[str, ...], ...]
    calls: list[int]

    def wanted(self) -> dict[str, WeightsRequest]:
        return {}

    def identity(self) -> dict[str, Any]:
        return {"kind": "fixed", "tags": [list(t) for t in self.tags]}

    def check(self) -> None:
        pass

    def look(self, context: Context, chosen: Any, normals: Sequence[Sample], *, dataset: str, category: str) -> Tagged:
        self.calls.append(len(normals))
        tags = [tuple(Tag(word, 0.5) for word in self.tags[i % len(self.tags)]) for i in range(len(normals))]
        return Tagged(images=tuple(ImageTags(sample=s, tags=t) for s, t in zip(normals, tags, strict=True)))


class FixedPrompter(Settings):
    """One answer for every object, counted."""

    text: str
    calls: list[str]

    def identity(self) -> dict[str, Any]:
        return {"kind": "fixed", "text": self.text}

    def check(self) -> None:
        pass

    def answer(self, context: Context, request: Request) -> Answer:
        self.calls.append(request.object)
        return Answer(raw=self.text, facts={"kind": "fixed"})


@cache
def composed(name: str) -> dict[str, Any]:
    # category_name and static stand in while composing: the tests give taggers and prompters of their own
    values, _ = compose(
        f"pipeline={name}",
        "tagger@pipeline.tagger=category_name",
        "prompter@pipeline.prompter=static",
        *(word for word in tiny("iap_as") if "tagger" not in word),
    )
    return {key: value for key, value in values["pipeline"].items() if key != "_target_"}


def pipeline(name: str = "iap_as", *, tags: Sequence[Sequence[str]] = (("cup", "steel"),), **changes: Any) -> IapAs:
    base = composed(name)
    given = {
        "tagger": FixedTagger(tags=tuple(map(tuple, tags)), calls=[]),
        "prompter": FixedPrompter(text=changes.pop("answer", "crack, hole"), calls=[]),
        **changes,
    }
    whole = {key for key, value in given.items() if not isinstance(value, dict) or "_target_" in value}
    merged = {key: value if key in whole else {**base[key], **value} for key, value in given.items()}
    return settings_from("pipeline", IapAs, {**base, **merged})


def image(folder: Path, name: str, *, defective: bool, split: Split, category: str = "bowl") -> Sample:
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return save_sample(folder / f"{name}.png", pixels, category=category, split=split, defective=defective)


def context(folder: Path, *, good: int = 2, dataset: str = "toy", store: str = "store", **more: Any) -> Context:
    normals = [image(folder, f"good{i}", defective=False, split="train") for i in range(good)]
    tested = image(folder, "bad", defective=True, split="test")
    manifest = Manifest(dataset=dataset, samples=(*normals, tested))
    return Context(manifest=manifest, samples=[tested], store=Store(folder / store / "stages"), workers=0, **more)


def predict(settings: IapAs, where: Context) -> Prediction:
    ((_, prediction),) = harness.predict(settings, where)
    return prediction


def rectangle(box: Box) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    x, y, w, h = box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT
    rows = slice(max(round(y - h / 2), 0), round(y + h / 2))
    mask[rows, max(round(x - w / 2), 0) : round(x + w / 2)] = True
    return mask


def summed(*boxes: tuple[Box, float]) -> NDArray[np.float64]:
    total = np.zeros((HEIGHT, WIDTH))
    for box, score in boxes:
        total += rectangle(box) * score
    return total


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> FakeModels:
    fakes = FakeModels(ANSWERS)
    fakes.install(monkeypatch)
    return fakes


KEPT = ((LEFT, 0.4), (RIGHT, 0.25), (SMALL, 0.2))


def test_the_whole_map_adds_up_what_suppression_and_the_size_rule_leave(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(), context(tmp_path))
    assert found.regions is not None and found.score_map is None
    np.testing.assert_allclose(found.regions.score_map(), summed(*KEPT), atol=1e-6)
    assert found.regions.score_map().max() == pytest.approx(0.4 + 0.2)
    assert found.extra["object"] == "cup steel" and found.extra["object_area"] == pytest.approx(0.81)
    assert (found.extra["n_candidates"], found.extra["n_regions"], found.extra["assumed"]) == (4, 3, None)
    assert found.extra["caption"] == P_FINAL
    assert found.mask is not None and np.array_equal(found.mask, summed(*KEPT) > 0) and found.label is True


def test_the_released_profile_stretches_every_map(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline("iap_as_paper_code"), context(tmp_path))
    drawn = summed(*KEPT)
    assert found.extra["caption"] == OFFICIAL
    np.testing.assert_allclose(found.score_map, drawn / drawn.max(), atol=1e-6)


@pytest.mark.parametrize("boxes", [[], [(WHOLE, 0.7, "crack.")]], ids=["no box", "one mask over everything"])
def test_constant_maps_become_zero_where_maps_are_stretched(
    boxes: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeModels({**ANSWERS, OFFICIAL: boxes, P_FINAL: boxes}).install(monkeypatch)
    steps = ["tagging", "llm_prompt"]
    stretched = predict(pipeline("iap_as_paper_code", steps=steps), context(tmp_path / "a"))
    assert stretched.score_map is not None and not stretched.score_map.any()
    plain = predict(pipeline(steps=steps), context(tmp_path / "b"))
    assert plain.regions is not None
    np.testing.assert_allclose(plain.regions.score_map(), 0.7 if boxes else 0)


def test_a_box_of_exactly_the_limit_is_no_candidate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {**ANSWERS, "cup steel.": [(WHOLE, 0.7, "cup steel")], P_FINAL: [(EXACT, 0.4, "crack.")]}
    FakeModels(answers).install(monkeypatch)
    where = context(tmp_path)
    assert predict(pipeline(), where).extra["n_regions"] == 0
    assert predict(pipeline(size={"factor": 0.81}), where).extra["n_regions"] == 1


def test_an_object_that_is_not_found_is_the_whole_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeModels({**ANSWERS, "cup steel.": []}).install(monkeypatch)
    settings = pipeline()
    found = predict(settings, context(tmp_path))
    assert (found.extra["object_area"], found.extra["object_found"]) == (1.0, 0)
    assert found.extra["n_regions"] == 3, "only the box over everything goes"
    rows = [{"category": "bowl", **found.extra}]
    assert settings.tables(rows)["prompts"][0]["n_without_object"] == 1


def test_size_is_that_of_the_largest_box_if_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {**ANSWERS, "cup steel.": [(SMALL, 0.7, "cup steel"), (RIGHT, 0.2, "cup.")]}
    FakeModels(answers).install(monkeypatch)
    where = context(tmp_path)
    assert predict(pipeline(), where).extra["object_area"] == pytest.approx(0.03)
    assert predict(pipeline(size={"of": "largest_box"}), where).extra["object_area"] == pytest.approx(0.24)


@pytest.mark.parametrize("steps", [["tagging"], ["tagging", "llm_prompt", "size_filter"]])
def test_without_a_good_image_the_category_names_the_object(
    steps: list[str], models: FakeModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = predict(pipeline(steps=steps), context(tmp_path, good=0))
    assert found.extra["object"] == "bowl" and "no good image" in str(found.extra["assumed"])
    assert "no good image" in caplog.text


def test_tags_that_find_no_box_are_counted(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(tags=[["lamp", "pole"], ["lamp", "crack"]]), context(tmp_path))
    assert found.extra["object"] == "lamp" and "found no tag" in str(found.extra["assumed"])


def test_words_for_defects_and_colours_are_no_object(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(tags=[["crack", "red", "deep scratch"]]), context(tmp_path))
    assert found.extra["object"] == "bowl" and "saw nothing" in str(found.extra["assumed"])


def test_the_object_is_named_by_the_best_box_over_all_good_images(models: FakeModels, tmp_path: Path) -> None:
    tags = [["cup", "steel", "wood"], ["cup", "steel"]]
    assert predict(pipeline(tags=tags), context(tmp_path)).extra["object"] == "cup steel"
    voted = predict(pipeline(tags=tags, object={"choice": "vote", "number": 2}), context(tmp_path))
    assert voted.extra["object"] == "cup, steel"


TAGS = ("Metal", "close-up", "Steel Plate", "number", "hole")
ASKED = "metal. . steel plate. hole."
SPECIAL = [(OBJECT, 0.6, "[CLS] metal. . steel plate. hole [SEP]"), (LEFT, 0.3, "metal.")]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("plain", "metal steel plate hole"),
        ("released_code", "metal.. steel plate. hole [SEP]"),
        ("released_code_saa", "[CLS] metal.. steel plate. hole [SEP]"),
    ],
)
def test_an_object_may_keep_every_token_above_the_threshold(
    words: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeModels({ASKED: SPECIAL}).install(monkeypatch)
    settings = pipeline("iap_as_paper_code", tags=[TAGS], object={"words": words})
    found = predict(settings, context(tmp_path))
    assert found.extra["object"] == name
    assert str(found.extra["caption"]).endswith(f"hole, {name.lower()}.")
    assert settings.prompter.calls == [name]  # type: ignore[attr-defined]


def test_the_released_code_asks_for_a_nameless_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeModels({"cup. steel.": [(OBJECT, 0.6, "[CLS]")]}).install(monkeypatch)
    released = predict(pipeline("iap_as_paper_code"), context(tmp_path / "a"))
    assert released.extra["object"] == "" and str(released.extra["caption"]).endswith("hole, .")
    plain = predict(pipeline(), context(tmp_path / "b"))
    assert plain.extra["object"] == "cup" and "found no tag" in str(plain.extra["assumed"])


def test_what_is_cut_off_is_told_in_the_paper_profile(
    models: FakeModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ", ".join(a + b + "x" * 8 for a in "abcde" for b in "fghijk")
    found = predict(pipeline("iap_as_paper_code", answer=answer), context(tmp_path))
    assert " | " not in str(found.extra["caption"])
    assert "reads 256 of the" in str(found.extra["assumed"]) and "steel" in str(found.extra["assumed"])
    assert "left out" in caplog.text
    with pytest.raises(ConfigError, match="long_captions"):
        predict(pipeline(answer=answer, detector={"long_captions": "refuse"}), context(tmp_path / "b"))


ROWS = [
    ([], "abnormal. defect.", None),
    (["tagging"], "abnormal. defect. cup steel.", None),
    (["tagging", "llm_prompt"], P_FINAL, None),
    (["llm_prompt"], "crack. hole. abnormal. defect.", None),
    (["llm_prompt", "size_filter"], "crack. hole. abnormal. defect.", "bowl."),
    (["tagging", "llm_prompt", "size_filter"], P_FINAL, "cup steel."),
]


@pytest.mark.parametrize(("steps", "caption", "whole"), ROWS)
def test_each_row_of_the_ablation_asks_its_own_captions(
    steps: list[str], caption: str, whole: str | None, models: FakeModels, tmp_path: Path
) -> None:
    settings, where = pipeline(steps=steps), context(tmp_path)
    found = predict(settings, where)
    assert found.extra["caption"] == caption
    assert (found.extra["object_area"] is not None) == (whole is not None)
    stages = plan_of(settings, where).distinct
    if whole is None:
        assert len(stages) == 1
    else:
        assert list(stages[1].settings["captions"]) == [whole]
    assert bool(settings.prompter.calls) == ("llm_prompt" in steps)  # type: ignore[attr-defined]
    assert bool(settings.tagger.calls) == ("tagging" in steps)  # type: ignore[attr-defined]


def test_the_released_ablation_looks_at_one_image_and_asks_two_words(models: FakeModels, tmp_path: Path) -> None:
    settings = pipeline("iap_as_paper_code", steps=[])
    assert predict(settings, context(tmp_path)).extra["caption"] == "defect, abnormal."
    assert settings.tagger.calls == [1]  # type: ignore[attr-defined]


def test_a_language_model_is_asked_once_and_its_record_repeats_the_run(models: FakeModels, tmp_path: Path) -> None:
    root = tmp_path / "prompts"
    first = pipeline()
    where = context(tmp_path, prompts_root=root)
    made = predict(first, where)
    assert first.prompter.calls == ["cup steel"] and first.tagger.calls == [2]  # type: ignore[attr-defined]
    (path,) = root.rglob("*.json")
    assert made.extra["record"] == f"toy/{path.name}"
    record = read_record(path)
    assert record.answers[0].raw == "crack, hole" and record.captions == [P_FINAL] and record.tokens[0] > 20
    assert [one.name for one in record.objects] == ["cup steel"] and len(record.images) == 2
    assert {"system", "user", "messages_sha256", "raw", "terms", "outcome", "facts", "asked"} <= set(
        record.answers[0].model_dump()
    )
    again = pipeline()
    predict(again, context(tmp_path, prompts_root=root, store="elsewhere"))
    assert again.prompter.calls == [], "the record has the answer"  # type: ignore[attr-defined]
    replayed = pipeline(
        tagger={"_target_": "benchmark.pipelines.iap.taggers.cached.CachedTagger", "path": None},
        prompter={"_target_": "benchmark.pipelines.iap.prompters.cached.CachedPrompter", "path": str(root)},
    )
    repeated = predict(replayed, context(tmp_path, good=0, prompts_root=root, store="third"))
    assert repeated.extra["caption"] == P_FINAL and repeated.extra["record"] is None
    assert repeated.regions is not None and made.regions is not None
    assert repeated.regions.masks.key == made.regions.masks.key
    assert list(root.rglob("*.json")) == [path], "a replay writes no second record"


def test_a_record_that_is_missing_broken_or_ambiguous_is_named(models: FakeModels, tmp_path: Path) -> None:
    cached = {"tagger": {"_target_": "benchmark.pipelines.iap.taggers.cached.CachedTagger", "path": None}}
    root = tmp_path / "prompts"
    with pytest.raises(ConfigError, match="no prompt records of toy"):
        predict(pipeline(**cached), context(tmp_path, prompts_root=root))
    predict(pipeline(), context(tmp_path, prompts_root=root))
    predict(pipeline(tags=[["cup", "steel", "wood"]]), context(tmp_path, prompts_root=root))
    with pytest.raises(ConfigError, match=r"do not give one object.*pipeline\.tagger\.path"):
        predict(pipeline(**cached), context(tmp_path, prompts_root=root))
    for path in root.rglob("*.json"):
        path.write_text('{"schema_version": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid: key"):
        predict(pipeline(**cached), context(tmp_path, prompts_root=root))


@pytest.mark.parametrize(
    ("answer", "told"), [("", "is empty"), ("Sorry, I cannot help.", "refusal"), ("#1", "no defect")]
)
def test_a_useless_answer_leaves_the_fixed_words_and_says_so(
    answer: str, told: str, models: FakeModels, tmp_path: Path
) -> None:
    found = predict(pipeline(answer=answer), context(tmp_path))
    assert found.extra["caption"] == "abnormal. defect. cup steel." and told in str(found.extra["assumed"])
    with pytest.raises(BenchmarkError, match="bad_answer=fixed_words"):
        predict(pipeline(answer=answer, prompt={"bad_answer": "stop"}), context(tmp_path / "b"))


def test_a_long_answer_is_asked_in_several_captions_before_suppression(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [a + b + "x" * 8 for a in "abcde" for b in "fghijk"]
    settings, where = pipeline(answer=", ".join(words)), context(tmp_path)
    FakeModels(ANSWERS).install(monkeypatch)
    captions = str(predict(settings, where).extra["caption"]).split(" | ")
    assert len(captions) == 2 and " ".join(captions).replace(".", "").split() == [
        *words,
        "abnormal",
        "defect",
        "cup",
        "steel",
    ]
    both = {captions[0]: [(LEFT, 0.3, "")], captions[1]: [(OVER_LEFT, 0.4, ""), (SMALL, 0.2, "")]}
    FakeModels({**ANSWERS, **both}).install(monkeypatch)
    found = predict(pipeline(answer=", ".join(words)), context(tmp_path, store="second"))
    assert found.regions is not None
    np.testing.assert_allclose(found.regions.score_map(), summed((OVER_LEFT, 0.4), (SMALL, 0.2)), atol=1e-6)


@pytest.mark.parametrize(("dataset", "candidates"), [("mvtec", 3), ("mtd", 4)])
def test_thresholds_go_by_the_kind_of_dataset(
    dataset: str, candidates: int, models: FakeModels, tmp_path: Path
) -> None:
    assert predict(pipeline(), context(tmp_path, dataset=dataset)).extra["n_candidates"] == candidates
    chosen = pipeline(thresholds={"box": 0.3})
    assert predict(chosen, context(tmp_path, dataset=dataset)).extra["n_candidates"] == 2


def test_settings_that_cannot_work_are_refused_before_any_work(models: FakeModels, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detector\.floor"):
        predict(pipeline(thresholds={"box": 0.05}), context(tmp_path))
    ram = {
        "_target_": "benchmark.pipelines.iap.taggers.ram.Ram",
        "weights": "published",
        "side": 384,
        "precision": "fp32",
    }
    with pytest.raises(ConfigError, match="recognize-anything"):
        predict(pipeline(tagger=ram), context(tmp_path))
    assert models.calls == {}
