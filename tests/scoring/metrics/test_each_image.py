"""Metrics that see each image whole: values, intervals, comparisons, and answers that are missing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from benchmark.core.samples import GroundTruth, MaskSet, Prediction, Regions, Sample
from benchmark.report.papers.comparison import compare_runs
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metrics.each_image import SeenImage, brier, false_regions, map_error, region_recall
from benchmark.scoring.protocol import Protocol
from tests.harness import SMALL_SAT, run
from tests.protocols import protocol

RNG = np.random.default_rng(5)


def seen(**changes: object) -> SeenImage:
    usual = {
        "defective": True, "mask": np.eye(4, dtype=bool), "ignore": None, "score_map": None, "image_score": None,
        "label": None,
    }  # fmt: skip
    return SeenImage(**{**usual, **changes})  # type: ignore[arg-type]


def test_values_by_hand() -> None:
    assert brier(seen(image_score=0.25)) == 0.5625 and brier(seen(image_score=0.25, defective=False)) == 0.0625
    assert math.isnan(brier(seen(image_score=1.5))) and math.isnan(brier(seen()))
    halves = np.full((4, 4), 0.5, dtype=np.float32)
    assert map_error(seen(score_map=halves)) == 0.5
    assert map_error(seen(score_map=np.eye(4))) == 0.0
    diagonal = np.eye(4, dtype=bool)
    assert map_error(seen(score_map=np.full((4, 4), 0.25), ignore=diagonal)) == 0.25
    assert math.isnan(map_error(seen(score_map=halves * 3))) and math.isnan(map_error(seen()))
    assert math.isnan(map_error(seen(score_map=halves, ignore=np.ones((4, 4), dtype=bool))))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_regions_are_found_by_a_mark_inside_and_false_where_they_touch_no_defect() -> None:
    mask = drawn("##..#", ".....", "#...#")
    marked = drawn(".#...", "...#.", "#.#..")  # two of them join at a corner
    image = seen(mask=mask, marked=marked)
    assert region_recall(image) == 0.5 and false_regions(image) == 1.0
    none, every = np.zeros((3, 5), dtype=bool), np.ones((3, 5), dtype=bool)
    assert (region_recall(seen(mask=mask, marked=none)), false_regions(seen(mask=mask, marked=none))) == (0.0, 0.0)
    assert (region_recall(seen(mask=mask, marked=every)), false_regions(seen(mask=mask, marked=every))) == (1.0, 0.0)
    assert (
        math.isnan(region_recall(seen(mask=none, marked=every))) and false_regions(seen(mask=none, marked=marked)) == 3
    )
    assert math.isnan(region_recall(seen(mask=mask))) and math.isnan(false_regions(seen(mask=mask)))


def test_ignored_pixels_neither_make_nor_find_a_region() -> None:
    mask, marked = drawn("#.#.."), drawn("#...#")
    assert region_recall(seen(mask=mask, marked=marked, ignore=drawn("#...."))) == 0.0  # the found one does not count
    assert false_regions(seen(mask=mask, marked=marked, ignore=drawn("#...."))) == 1.0
    assert false_regions(seen(mask=mask, marked=marked, ignore=drawn("....#"))) == 0.0
    assert math.isnan(region_recall(seen(mask=mask, marked=marked, ignore=drawn("#.#.."))))


@pytest.mark.parametrize("given", [True, False])
def test_the_binary_mask_is_the_given_one_or_the_map_cut_at_the_threshold(given: bool) -> None:
    scores = np.where(drawn("##..#", "....."), 0.9, 0.1).astype(np.float32)
    mask = drawn("..#..", ".....") if given else None
    scoring = protocol(resamples=0, iou_threshold=0.9)
    evaluation = Evaluation(scoring, ["region_recall", "false_regions", "iou"], seed=0)
    truth = GroundTruth(mask=drawn("#....", "....."))
    evaluation.add(sample(0, defective=True), Prediction(score_map=scores, mask=mask), truth)
    values = {row.metric: row.value for row in evaluation.report() if row.category == "part"}
    assert (values["region_recall"], values["false_regions"]) == ((0.0, 1.0) if given else (1.0, 1.0))


def sample(number: int, *, defective: bool) -> Sample:
    return Sample(
        id=f"{number:03d}", image=Path("x"), mask=None, defective=defective, category="part",
        defect_type="cut" if defective else "good", group=str(number), split="test", sha256=str(number),
    )  # fmt: skip


def evaluated(scoring: Protocol, names: list[str], n: int = 30) -> tuple[Evaluation, np.ndarray, np.ndarray]:
    evaluation = Evaluation(scoring, names, seed=0)
    truths, scores = np.arange(n) % 3 == 0, RNG.random(n)
    for number in range(n):
        mask = np.zeros((6, 5), dtype=bool)
        mask[:2] = truths[number]
        found = Prediction(score_map=np.full((6, 5), scores[number], dtype=np.float32), image_score=scores[number])
        evaluation.add(sample(number, defective=bool(truths[number])), found, GroundTruth(mask=mask))
    return evaluation, truths, scores


def test_brier_is_scikit_learns_and_has_an_interval_that_holds_it() -> None:
    evaluation, truths, scores = evaluated(protocol(resamples=200), ["brier", "map_error"])
    rows = {(row.metric, row.category): row for row in evaluation.report()}
    row = rows["brier", "pooled"]
    assert row.value == pytest.approx(brier_score_loss(truths, scores), abs=1e-12)
    assert row.low is not None and row.high is not None and row.low < row.value < row.high
    assert rows["map_error", "part"].n == 30 and rows["map_error", "part"].level == "pixel"
    assert [r["brier"] for r in evaluation.rows()] == pytest.approx((scores - truths) ** 2)


def test_an_answer_that_failed_has_no_value_and_is_counted() -> None:
    evaluation, _, _ = evaluated(protocol(resamples=0), ["brier", "map_error"], n=9)
    before = {row.metric: row.value for row in evaluation.report()}
    failed = Prediction(outcome="failed", message="broken")
    evaluation.add(sample(99, defective=True), failed, GroundTruth(mask=np.ones((6, 5), dtype=bool)))
    for row in evaluation.report():
        assert row.value == before[row.metric]
        if row.category == "part":
            assert (row.n, row.n_skipped) == (9, 1)


def test_regions_are_seen_as_their_map_at_the_size_of_the_protocol() -> None:
    masks = np.zeros((1, 6, 4), dtype=bool)
    masks[0, :3] = True
    regions = Regions(masks=MaskSet.encode(masks), index=np.array([0]), scores=np.array([0.75], dtype=np.float32))
    evaluation = Evaluation(protocol(resamples=0, size=(12, 8), interpolation="nearest"), ["map_error"], seed=0)
    truth = GroundTruth(mask=masks[0])
    evaluation.add(sample(0, defective=True), Prediction(regions=regions), truth)
    assert evaluation.report()[0].value == pytest.approx(0.125)


def test_a_run_reports_them_and_two_runs_are_compared(tmp_path: Path) -> None:
    words = (
        *SMALL_SAT,
        "metric.names=[map_error,image_auroc]",
        "protocol.resamples=50",
        "protocol.normalisation=image",
    )
    runs = [run(tmp_path, *words, "pipeline=reference_difference", f"pipeline.smoothing={n}") for n in (0.0, 4.0)]
    values = [done.result.metric("map_error").value for done in runs]
    assert None not in values and values[0] != values[1]
    rows = pd.read_parquet(runs[0].folder / "per_image.parquet")
    assert rows["map_error"].mean() == pytest.approx(values[0])
    (line,) = [line for line in compare_runs(*(done.folder for done in runs)).lines if line.metric == "map_error"]
    assert line.p is not None and line.low is not None
    undefined = run(tmp_path, *SMALL_SAT, "metric.names=[brier]", "pipeline=reference_difference").result
    reason = undefined.metric("brier").reason
    assert reason is not None and reason.endswith("brier is undefined in 12 of 12 images")
