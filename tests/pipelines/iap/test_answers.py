"""IAP-AS with fixed answers: the steps, the language model's answers and their records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.pipelines.iap.records import read_record
from tests.harness import plan_of
from tests.pipelines.iap.fixed import (
    ANSWERS,
    LEFT,
    OVER_LEFT,
    P_FINAL,
    SMALL,
    context,
    pipeline,
    predict,
    summed,
)
from tests.pipelines.saa.fakes import FakeModels

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
