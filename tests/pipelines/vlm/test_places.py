"""Boxes, masks and outlines: every answer has an outcome, and what is used lies where the model pointed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.chat.form import Coordinates, Form, Kind, MaskAs
from benchmark.chat.places import read_places
from benchmark.chat.verdict import Reading, judge
from benchmark.core.errors import ConfigError
from benchmark.core.samples import MaskSet, Prediction
from benchmark.pipelines.vlm import voting
from benchmark.pipelines.vlm.drawing import Placed, place, refined
from benchmark.pipelines.vlm.pipeline import VisionLanguage
from benchmark.results.gallery import decode, read_gallery
from benchmark.results.rows import per_image
from tests.data.dataset_trees import mvtec_tree
from tests.harness import run as whole_run
from tests.pipelines.vlm.place_answers import BOXES, MASKS, PIXELS, POLYGONS, Case, answer, box, png
from tests.pipelines.vlm.servers import Reply, label, said, serving
from tests.pipelines.vlm.test_cases import run
from tests.pipelines.vlm.test_endpoint import chat
from tests.pipelines.vlm.toys import FAST, PLAIN, context, images, pipeline, predict, sent_sha256


def form(answered: Kind = "boxes", coordinates: Coordinates = "yx_1000", mask_as: MaskAs = "polygon") -> Form:
    return Form(order="reasoning_first", answer=answered, coordinates=coordinates, mask_as=mask_as)


def placed(text: str, asked: Form, side: tuple[int, int] = (PIXELS, PIXELS), **prepared: object) -> Placed | None:
    verdict = judge(Reading(text=text), asked)
    size = {"height": side[0], "width": side[1], "sent_height": side[0], "sent_width": side[1]}
    return None if verdict.label is None else place(verdict, {**size, **prepared}, asked)


def table() -> list[tuple[Form, Case]]:
    return [
        *((form(), case) for case in BOXES),
        *((form("masks", mask_as="png"), case) for case in MASKS),
        *((form("masks"), case) for case in POLYGONS),
    ]


def test_every_answer_of_the_table_has_its_outcome_in_linear_time() -> None:
    assert len(BOXES) >= 200
    begun = time.monotonic()
    for asked, case in table():
        found = placed(case.text, asked)
        unusable = found is None or found.unusable is not None
        assert unusable == (case.outcome == "invalid"), case.text[:300]
        if found is not None:
            assert (len(found.masks), found.notes) == (case.regions, case.notes), case.text[:300]
    assert time.monotonic() - begun < 30


def test_a_run_over_the_answers_is_replayed_to_the_same_rows(tmp_path: Path) -> None:
    """Through the server: outcomes, notes in the rows, their counts in the result, nothing asked twice."""
    samples = images(tmp_path / "images", len(BOXES), side=PIXELS)
    cases = dict(zip((sent_sha256(s) for s in samples), BOXES, strict=True))
    given = ("pipeline.answer=boxes", "pipeline.coordinates=yx_1000")
    with serving(lambda image, number: chat(cases[image].text)) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}/v1", *given, name="vlm_endpoint")
        predictions = predict(chosen, context(tmp_path, samples))
        assert len(fake.log) == len(BOXES)
    replaying = pipeline(tmp_path, "pipeline.answers.mode=replay", *given, name="vlm_endpoint")
    again = predict(replaying, context(tmp_path, samples))
    for case, one, other in zip(BOXES, predictions, again, strict=True):
        assert one.outcome == other.outcome == case.outcome, case.text[:200]
        assert one.extra == other.extra
        words = dict(word.split("=") for word in str(one.extra["places"] or "").split())
        assert words == {name: str(n) for name, n in case.notes.items()}
        assert one.rationale is None or other.rationale == one.rationale
        if case.regions:
            assert np.array_equal(one.mask, other.mask) and one.mask.any()  # type: ignore[arg-type, union-attr]
    defective = [dict(p.extra, outcome=p.outcome, defective=True, label=p.label) for p in predictions]
    (counted,) = voting.tables(defective)["places"]
    assert counted["regions"] == sum(c.regions for c in BOXES if c.outcome == "ok")
    assert counted["mirrored"] == sum(c.notes.get("mirrored", 0) for c in BOXES) > 0


@pytest.mark.parametrize(
    ("coordinates", "values"),
    [("yx_1000", (200, 100, 600, 500)), ("xy_1000", (100, 200, 500, 600)), ("xy_pixels", (5, 20, 25, 60))],
)
def test_a_box_lies_where_its_convention_says(coordinates: Coordinates, values: tuple[int, ...]) -> None:
    asked = form(coordinates=coordinates)
    named = {"kind": "dent", asked.box_name: list(values)}
    found = placed(answer([named]), asked, (200, 100), sent_height=100, sent_width=50)
    assert found is not None and found.scores.tolist() == [1.0] and str(found) == "dent 1.00"
    expected = np.zeros((200, 100), dtype=bool)
    expected[40:120, 10:50] = True
    assert np.array_equal(found.masks.union(), expected)
    assert asked.box_name in str(asked.request()) and asked.box_name in json.dumps(asked.schema())


def test_a_mask_fills_its_box_and_the_larger_score_counts() -> None:
    whole = placed(answer([box(mask=png())]), form("masks", mask_as="png"), (100, 100))
    bounds = placed(answer([box()]), form(), (100, 100))
    assert whole is not None and bounds is not None
    assert np.array_equal(whole.masks.union(), bounds.masks.union())
    both = placed(answer([box(confidence=0.9), box(0, 0, 1000, 1000, confidence=0.25)]), form(), (100, 100))
    assert both is not None
    scores = both.regions.score_map()
    assert scores[30, 30] == np.float32(0.9) and scores[90, 90] == 0.25


def test_places_on_an_aligned_image_lie_in_the_file_s_own_frame() -> None:
    moved = placed(answer([box()]), form(), (100, 100), matrix=[[1, 0, 7], [0, 1, -4]])
    still = placed(answer([box()]), form(), (100, 100))
    assert moved is not None and still is not None
    assert np.array_equal(moved.masks.union(), np.roll(still.masks.union(), (-4, 7), axis=(0, 1)))


def test_a_run_shows_boxes_beside_the_truth_and_an_absent_image_score_is_undefined(tmp_path: Path) -> None:
    """From the command's settings to metrics, table, rows, and the pictures that the report shows."""
    data = mvtec_tree(tmp_path / "parts").parent
    words = (
        "dataset=folder", f"dataset.path={data}", "pipeline=gemini", *PLAIN, *FAST, "pipeline.draws=1",
        "pipeline.answer=boxes", "pipeline.image_score=logprobs", "protocol=default",
        "metric.names=[iou,ap,image_auroc]",
    )  # fmt: skip
    with serving(lambda i, n: said(answer([box()]))) as fake:
        done = whole_run(tmp_path, *words, f"pipeline.provider.access.base_url={fake.url}")
    iou, ap, auroc = (done.result.metric(name) for name in ("iou", "ap", "image_auroc"))
    assert 0 < iou.value < 1 and 0 < ap.value < 1 and auroc.value is None and "score" in auroc.reason
    (counted,) = done.result.tables["places"]
    shown = list(read_gallery(done.folder))
    assert counted["regions"] == len(shown) > 0
    for one, row in zip(shown, per_image(done.folder), strict=True):
        assert one.mask is not None and one.score is not None and row["rationale"] == "seen [scratch 0.50]"
        drawn = decode(one.mask) > 0
        side = drawn.shape[0]
        assert drawn[round(0.4 * side), round(0.3 * side)] and not drawn[round(0.8 * side), round(0.8 * side)]
    assert any(one.truth is not None for one in shown)
    replayed = whole_run(tmp_path, *words, "pipeline.answers.mode=replay", "run.overwrite=always")
    assert not replayed.reused and replayed.result.digest == done.result.digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["box_2d", "mask", "polygon"]), inner),
    max_leaves=12,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(JSON, max_size=4), st.sampled_from([form(), form("masks"), form("masks", "xy_pixels", "png")]))
def test_any_defects_are_used_or_counted(defects: list[object], asked: Form) -> None:
    read = read_places(defects, asked, size=(9, 7))
    reasons = ("malformed", "mirrored", "empty", "outside", "too_many")
    assert len(read.found) + sum(read.notes.get(name, 0) for name in reasons) == len(defects)


def test_draws_with_places_make_a_mean_map_and_a_mask_by_majority(tmp_path: Path) -> None:
    texts = [answer([box(0, 0, 1000, 500)]), answer([box(0, 0, 1000, 1000, confidence=1.0)]), answer([], "OK")]
    (one,), _ = run(tmp_path, lambda i, n: said(texts[n - 1]), "pipeline.draws=3", "pipeline.answer=boxes",
                    "pipeline.calls.max_concurrency=1")  # fmt: skip
    assert one.score_map is not None and one.mask is not None and one.regions is None
    assert one.label is True and one.image_score == pytest.approx(2 / 3) and one.extra["n_regions"] == 2
    assert one.score_map[5, 2] == pytest.approx(1.5 / 3) and one.score_map[5, 9] == pytest.approx(1 / 3)
    assert one.mask[5, 2] and not one.mask[5, 9] and one.rationale == "seen [scratch 0.50]"


def test_a_budget_holds_with_places(tmp_path: Path) -> None:
    from benchmark.core.errors import BenchmarkError

    with pytest.raises(BenchmarkError, match="the same command goes on"):
        run(tmp_path, lambda i, n: said(answer([box()])), "pipeline.answer=boxes", "pipeline.budget_usd=0.04", n=16)
    kept = list((tmp_path / "answers" / "answers").rglob("*.json"))
    assert 0 < len(kept) < 16
    predictions, fake = run(tmp_path, lambda i, n: said(answer([box()])), "pipeline.answer=boxes", n=16)
    assert len(fake.log) == 16 - len(kept) and {p.outcome for p in predictions} == {"ok"}


def test_boxes_are_refined_by_sam_and_other_answers_are_not(tmp_path: Path) -> None:
    toy = ("pipeline.sam.model=toy", "pipeline.sam.weights=random", "pipeline.allow_random_weights=true")
    given = ("pipeline.answer=boxes", "pipeline.refine=sam", *toy)
    (one, other), _ = run(tmp_path, lambda i, n: said(answer([box()] if n == 1 else [])), *given, n=2)
    plain = placed(answer([box()]), form())
    assert plain is not None and one.outcome == other.outcome == "ok"
    for prediction in (one, other):
        assert prediction.regions is not None and prediction.regions.masks.key != plain.masks.key
        assert prediction.extra["places"] is None or "empty" in str(prediction.extra["places"])
    with pytest.raises(ConfigError, match=r"needs pipeline\.answer=boxes"):
        run(tmp_path, lambda i, n: label("OK"), "pipeline.refine=sam", *toy)


@pytest.mark.parametrize("called", ["NOK", "OK"])
def test_what_sam_leaves_of_the_boxes_is_what_rows_count(called: str) -> None:
    """Two boxes of which SAM draws nothing: no region is left, and the label is told of beside that."""

    class Nothing:
        def from_boxes(self, image: object, boxes: np.ndarray) -> SimpleNamespace:
            return SimpleNamespace(masks=MaskSet.encode(np.zeros((len(boxes), PIXELS, PIXELS), dtype=bool)))

    before = placed(answer([box(), box(), box(999, 999, 999, 999)], called), form())
    assert before is not None and len(before.masks) == 2 and before.notes["overlapping"] == 1
    after = refined(before, Nothing(), SimpleNamespace(size=(PIXELS, PIXELS)))  # type: ignore[arg-type]
    contrary = {"nok_but_no_region": 1} if called == "NOK" else {}
    assert len(after.masks) == 0 and after.notes == {"empty": 3, **contrary}


def test_rows_of_refined_boxes_count_the_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Placed(masks=MaskSet.from_counts((PIXELS, PIXELS), []), scores=np.zeros(0, np.float32), kinds=(), notes={})
    monkeypatch.setattr(VisionLanguage, "_refined", lambda self, context, stage, sample, placed: gone)
    toy = ("pipeline.sam.model=toy", "pipeline.sam.weights=random", "pipeline.allow_random_weights=true")
    (one,), _ = run(tmp_path, lambda i, n: said(answer([box()])), "pipeline.answer=boxes", "pipeline.refine=sam", *toy)
    assert one.label is True and one.extra["n_regions"] == 0 and one.rationale == "seen"


def test_confidence_is_asked_for_in_words_where_no_schema_is_sent(tmp_path: Path) -> None:
    given = ("pipeline.provider.response=text", "pipeline.image_score=confidence")
    reply = said('{"reasoning": "", "label": "NOK", "confidence": 0.75}')
    run(tmp_path, lambda i, n: reply, given[0])  # a stored label is no answer to it
    (one,), fake = run(tmp_path, lambda i, n: reply, *given)
    texts = [part.get("text", "") for part in fake.bodies[0]["contents"][0]["parts"]]
    assert one.image_score == 0.75 and '"confidence": 0.0 to 1.0' in texts[-1]


def scored(reply: Reply, folder: Path, how: str, *more: str) -> Prediction:
    with serving(lambda i, n: reply) as fake:
        name, given = "vlm_endpoint", (f"pipeline.image_score={how}", *more)
        chosen = pipeline(folder, f"pipeline.provider.access.base_url={fake.url}/v1", *given, name=name)
        (prediction,) = predict(chosen, context(folder, images(folder / "images", 1)))
        assert fake.bodies[0].get("logprobs") is (True if how == "logprobs" else None)
    return prediction


def test_confidence_and_log_probabilities_are_image_scores(tmp_path: Path) -> None:
    sure = chat('{"reasoning": "", "label": "OK", "confidence": 0.75}')
    assert scored(sure, tmp_path / "a", "confidence").image_score == 0.25
    silent = scored(chat('{"reasoning": "", "label": "OK"}'), tmp_path / "b", "confidence")
    assert silent.outcome == "ok" and silent.image_score is None and silent.unscored and silent.extra["scored"] == 0
    text = ['{"reasoning": "\\"label\\": \\"OK\\"", ', '"label":', ' "', "N", "OK", '"}']
    likely = {3: [("N", -0.2231435513), ("OK", -1.6094379124), ("O", float("-inf")), ("X", "?"), (None, 1)]}
    content = [
        {"token": t, "logprob": -0.1, "top_logprobs": [{"token": a, "logprob": b} for a, b in likely.get(i, [])]}
        for i, t in enumerate(text)
    ]
    reply = chat("".join(text))
    reply.body["choices"][0]["logprobs"] = {"content": content}
    assert scored(reply, tmp_path / "c", "logprobs").image_score == pytest.approx(0.8)
    reply.body["choices"][0]["logprobs"] = {"content": 3}
    assert scored(reply, tmp_path / "d", "logprobs").unscored


def test_gemini_s_log_probabilities_are_read(tmp_path: Path) -> None:
    text = ['{"label": "', "OK", '", "reasoning": ""}']
    reply = said("".join(text))
    chosen = [{"token": t, "logProbability": -0.1} for t in text]
    rivals = [{"token": "OK", "logProbability": -0.6931471806}, {"token": "NO", "logProbability": -0.6931471806}]
    likely = [{}, {"candidates": rivals}, None]
    reply.body["candidates"][0]["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": likely}
    (one,), fake = run(tmp_path, lambda i, n: reply, "pipeline.image_score=logprobs")
    assert one.label is False and one.image_score == pytest.approx(0.5)
    generation = fake.bodies[0]["generationConfig"]
    assert generation["responseLogprobs"] is True and generation["logprobs"] == 5


def test_tables_of_tiles_count_every_answer_and_add_up_what_they_cost(tmp_path: Path) -> None:
    """Tiles whose notes differ, and one whose answer is invalid: all are counted and paid for."""
    folder = tmp_path / "parts" / "part" / "test" / "good"
    folder.mkdir(parents=True)
    for at in range(2):
        pixels = np.random.default_rng(at).integers(0, 255, (16, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{at}.png")
    texts = [answer([box(-50, 0, 300, 300)]), answer([box()]), answer([box()]), answer([box()]), "nothing", "nothing"]
    words = (
        "dataset=folder", f"dataset.path={tmp_path / 'parts'}", "pipeline=gemini", *PLAIN, *FAST, "pipeline.draws=1",
        "pipeline.answer=boxes", "protocol=default", "metric.names=[iou]", "tiling.size=16", "tiling.overlap=0.0",
        "pipeline.calls.max_concurrency=1", f"pipeline.answers.path={tmp_path / 'answers'}", "run.gallery=0",
    )  # fmt: skip
    turn = iter(texts)
    with serving(lambda i, n: said(next(turn))) as fake:
        done = whole_run(tmp_path, *words, f"pipeline.provider.access.base_url={fake.url}")
    (counted,), (noted,) = done.result.tables["answers"], done.result.tables["places"]
    assert (counted["images"], counted["calls"], counted["invalid_rate"]) == (2, 6, pytest.approx(2 / 6))
    assert counted["cost_usd"] == pytest.approx(done.result.measured.counters["vlm/spent_usd"], rel=1e-4) != 0
    assert noted["clipped"] == 1 and noted["regions"] == 4 and done.result.outcomes == {"ok": 1, "invalid": 1}
