"""From predictions to a report: categories, means, pooled rows, intervals, failures and rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmark.core import mapped
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import GroundTruth, MaskSet, Prediction, Regions, Sample
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metrics import bootstrap, intervals, score_spool
from tests.protocols import protocol
from tests.scoring.metrics.maps import continuous

MAPS, MASKS = continuous(12, 48, seed=4)
NAMES = ("iou", "max_iou", "ap", "f1_max", "f2")


def sample(at, *, category=None, defective=None):
    return Sample(
        id=f"{at:03d}.png",
        image=Path("unused"),
        mask=None,
        defective=bool(MASKS[at].any()) if defective is None else defective,
        category=category or "ab"[at % 2],
        defect_type="bad",
        group=f"g{at}",
        split="test",
        sha256="0",
    )


def prediction(at, **changes):
    scores = MAPS[at]
    facts = {"score_map": scores, "mask": scores > 0.5, "label": bool(scores.max() > 0.6), "extra": {"n_regions": at}}
    return Prediction(**(facts | changes))


def truth(at):
    return GroundTruth(mask=MASKS[at].astype(bool))


def evaluated(names=NAMES, *, only=range(12), special=None, seed=0, dataset=None, preset="default", **changes):
    options = {"resamples": 50} | changes
    evaluation = Evaluation(protocol(preset, **options), names, seed=seed, dataset=dataset)
    for at in only:
        evaluation.add(sample(at), (special or {}).get(at) or prediction(at), truth(at))
    return evaluation


def many(*, seed=0, backwards=False, names=NAMES):
    """Two categories of 30 images, each with more than five of both classes."""
    maps, masks = continuous(60, 24, seed=5)
    evaluation = Evaluation(protocol(resamples=50), names, seed=seed)
    for at in sorted(range(60), reverse=backwards):
        scores = maps[at]
        found = Prediction(score_map=scores, mask=scores > 0.5, label=bool(scores.max() > 0.6))
        defective = bool(masks[at].any())
        evaluation.add(sample(at, defective=defective), found, GroundTruth(mask=masks[at].astype(bool)))
    return evaluation


def row(evaluation, name, category):
    (found,) = [v for v in evaluation.report() if (v.metric, v.category) == (name, category)]
    return found


def pooled_ap(chosen):
    chosen = list(chosen)
    return average_precision_score(MASKS[chosen].ravel(), MAPS[chosen].ravel())


def test_categories_mean_and_pooled():
    evaluation = evaluated()
    expected = {"a": pooled_ap(range(0, 12, 2)), "b": pooled_ap(range(1, 12, 2)), "pooled": pooled_ap(range(12))}
    for category, value in expected.items():
        assert row(evaluation, "ap", category).value == pytest.approx(value, abs=1e-9)
    mean = row(evaluation, "ap", "mean")
    assert mean.value == pytest.approx((expected["a"] + expected["b"]) / 2, abs=1e-9)
    assert (mean.n, mean.n_skipped) == (12, 0)
    f1, iou = row(evaluation, "f1_max", "a").value, row(evaluation, "max_iou", "a").value
    assert iou == pytest.approx(f1 / (2 - f1))
    assert [v.metric for v in evaluation.report()[::4]] == list(NAMES)
    assert [v.category for v in evaluation.report()[:4]] == ["a", "b", "mean", "pooled"]


def test_intervals_hold_the_value_and_are_repeatable():
    first, again, other = many(), many(backwards=True), many(seed=1)
    for value in first.report():
        assert value.low <= value.value <= value.high, value
        assert 0 <= value.low <= value.high <= 1
        assert value.no_interval is None
    assert first.report() == again.report()
    assert row(first, "ap", "mean").low != row(other, "ap", "mean").low
    off = row(evaluated(resamples=0), "ap", "mean")
    assert (off.low, off.no_interval) == (None, "no interval: protocol.resamples=0")


def test_resampling_is_stratified_by_category():
    evaluation = evaluated(names=("recall",))
    pooled = evaluation.replicates("recall", "pooled")
    weights = [bootstrap.resample(6, resamples=50, seed=0, stratum=c) for c in "ab"]
    ids = [*range(0, 12, 2), *range(1, 12, 2)]
    defective = np.array([MASKS[i].any() for i in ids])
    called = np.array([MAPS[i].max() > 0.6 for i in ids])
    together = np.concatenate(weights, axis=1)
    expected = (together @ (called & defective)) / (together @ defective)
    assert np.allclose(pooled, expected)


def test_a_difference_of_two_runs_is_paired_by_image():
    first = evaluated()
    second = evaluated(special={at: prediction(at, score_map=MAPS[at] ** 2 + 1) for at in range(12)})
    ends = intervals.expanded(first.replicates("ap") - second.replicates("ap"), confidence=0.95, n=12)
    assert ends.low == pytest.approx(0.0, abs=1e-3)
    assert ends.high == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ConfigError, match="'auroc' was not evaluated"):
        first.replicates("auroc")


def test_one_category_is_its_own_mean_and_pool():
    evaluation = Evaluation(protocol(resamples=20), ["ap"], seed=0)
    for at in range(12):
        evaluation.add(sample(at, category="tile"), prediction(at), truth(at))
    values = [(v.value, v.low, v.high) for v in evaluation.report()]
    assert len(set(values)) == 1


def test_an_undefined_category_is_skipped_in_the_mean_and_counted():
    evaluation = evaluated(names=("ap", "iou"))
    good = next(at for at in range(12) if not MASKS[at].any())
    clean = Sample(**{f: getattr(sample(good), f) for f in Sample.__slots__} | {"id": "x.png", "category": "c"})
    evaluation.add(clean, prediction(good), truth(good))
    undefined = row(evaluation, "ap", "c")
    assert (undefined.value, undefined.reason) == (None, "no defect pixel in 1 image")
    mean = row(evaluation, "ap", "mean")
    assert mean.n_skipped == 1
    assert mean.value == pytest.approx((row(evaluation, "ap", "a").value + row(evaluation, "ap", "b").value) / 2)


def test_iou_is_the_mean_over_defective_images_of_the_mask():
    evaluation = evaluated()
    ious = []
    for at in range(12):
        called, mask = MAPS[at] > 0.5, MASKS[at].astype(bool)
        if mask.any():
            ious.append((called & mask).sum() / (called | mask).sum())
    value = row(evaluation, "iou", "pooled")
    assert value.value == pytest.approx(np.mean(ious))
    assert (value.n, value.n_skipped) == (len(ious), 12 - len(ious))
    rows = {r["id"]: r["iou"] for r in evaluation.rows()}
    assert sorted(v for v in rows.values() if v is not None) == pytest.approx(sorted(ious))


def test_iou_without_a_mask_needs_a_threshold_in_the_protocol():
    bare = {at: prediction(at, mask=None) for at in range(12)}
    undefined = row(evaluated(special=bare), "iou", "pooled")
    assert undefined.value is None
    assert "have no binary mask" in undefined.reason
    assert "protocol.iou_threshold=… cuts score maps" in undefined.explained
    cut = row(evaluated(special=bare, iou_threshold=0.5), "iou", "pooled")
    given = {at: prediction(at, mask=MAPS[at] >= 0.5) for at in range(12)}
    assert cut.value == pytest.approx(row(evaluated(special=given), "iou", "pooled").value)
    assert cut.threshold == 0.5
    only_cut = row(evaluated(names=("iou",), special=bare, iou_threshold=0.5), "iou", "pooled")
    assert only_cut.value == cut.value


def test_a_threshold_cuts_in_the_precision_of_the_scores():
    scores = np.full((48, 48), 0.7, dtype=np.float32)
    at = next(i for i in range(12) if MASKS[i].any())
    cut = evaluated(names=("iou_pooled",), only=[at], special={at: Prediction(score_map=scores)}, iou_threshold=0.7)
    assert row(cut, "iou_pooled", "pooled").value == pytest.approx(MASKS[at].mean())


def test_failed_answers_are_counted_as_wrong_or_left_out_but_never_lost():
    names = ("f2", "ap", "iou", "image_auroc")
    bad = next(at for at in range(12) if MASKS[at].any())
    failed = {bad: Prediction(outcome="blocked", message="refused")}
    wrong = evaluated(names=names, special=failed)
    excluded = evaluated(names=names, special=failed, failures="exclude")
    others = evaluated(names=names, only=[at for at in range(12) if at != bad])
    for name in names:
        assert row(excluded, name, "pooled").value == pytest.approx(row(others, name, "pooled").value)
        assert row(wrong, name, "pooled").value < row(others, name, "pooled").value
        assert row(wrong, name, "pooled").n == row(excluded, name, "pooled").n + 1
    for evaluation in (wrong, excluded):
        assert sum(evaluation.outcomes()[c]["blocked"] for c in "ab") == 1
        (line,) = [r for r in evaluation.rows() if r["outcome"] == "blocked"]
        assert (line["message"], line["label"], line["image_score"], line["iou"]) == ("refused", None, None, None)


def test_answers_that_are_missing_in_a_part_of_the_images_leave_the_metric_undefined():
    partial = {3: prediction(3, label=None, score_map=None)}
    for name in ("f2", "ap", "image_ap"):
        value = row(evaluated(names=(name,), special=partial), name, "pooled")
        assert value.value is None
        assert value.reason.startswith("1 of 12 images have no")


def test_good_images_are_left_out_of_pixels_where_the_protocol_says_so():
    defective = [at for at in range(12) if MASKS[at].any()]
    value = row(evaluated(names=("ap", "f2"), include_good=False), "ap", "pooled")
    assert value.value == pytest.approx(pooled_ap(defective), abs=1e-9)
    assert (value.n, value.n_defective, value.n_skipped) == (len(defective), len(defective), 12 - len(defective))
    by_dataset = evaluated(names=("ap",), preset="iap_as", size=None, normalisation="none", dataset="btad")
    assert row(by_dataset, "ap", "pooled").value == pytest.approx(value.value, abs=1e-9)


def test_pooling_per_image_averages_over_the_images_where_it_is_defined():
    value = row(evaluated(names=("ap",), pooling="image"), "ap", "pooled")
    singles = [pooled_ap([at]) for at in range(12) if MASKS[at].any()]
    assert value.value == pytest.approx(np.mean(singles), abs=1e-9)
    assert value.n == len(singles)
    assert value.low < value.value < value.high


def test_the_even_thresholds_of_a_protocol_stand_beside_the_exact_maximum():
    evaluation = evaluated(preset="iap_as", size=None, normalisation="none")
    names = list(dict.fromkeys(v.metric for v in evaluation.report()))
    assert names == ["iou", "max_iou", "ap", "f1_max", "f1_max_linspace100", "f2"]
    assert row(evaluation, "f1_max_linspace100", "a").value <= row(evaluation, "f1_max", "a").value


def test_normalisation_over_a_category_moves_thresholds_only():
    plain, scaled = evaluated(), evaluated(normalisation="category")
    low, high = MAPS[::2].min(), MAPS[::2].max()
    first, second = row(plain, "f1_max", "a"), row(scaled, "f1_max", "a")
    assert first.value == second.value
    assert second.threshold == pytest.approx((first.threshold - low) / (high - low))


def test_rows_are_plain_and_name_every_fact():
    rows = evaluated().rows()
    assert [r["id"] for r in rows] == [f"{at:03d}.png" for at in range(12)]
    first = rows[0]
    assert first["n_pixels"] == 48 * 48
    assert first["n_defect_pixels"] == MASKS[0].sum()
    assert first["image_score"] == pytest.approx(float(MAPS[0].max()))
    assert first["n_regions"] == 0
    assert json.loads(json.dumps(list(rows), allow_nan=False)) == rows
    with pytest.raises(DataError, match="extra fact 'label'"):
        evaluated(only=[0], special={0: prediction(0, extra={"label": 1})}).rows()


def test_scores_past_the_memory_limit_are_mapped_and_count_the_same(monkeypatch):
    held = evaluated()
    monkeypatch.setattr(score_spool, "HELD_BYTES", 0)
    monkeypatch.setattr(score_spool, "SEGMENT_BYTES", 3 * MAPS[0].nbytes)
    spooled = evaluated()
    for run, lies_in_file in ((spooled, True), (held, False)):
        tables = [run._images[at].table for at in range(len(MAPS))]
        assert {mapped.is_mapped(table.score) for table in tables if table is not None} == {lies_in_file}
    assert spooled.report() == held.report()


def test_a_sample_twice_and_a_category_named_as_a_row_are_refused():
    evaluation = evaluated(only=[0, 1])
    with pytest.raises(DataError, match=r"001\.png is scored twice"):
        evaluation.add(sample(1), prediction(1), truth(1))
    with pytest.raises(DataError, match="category name 'mean'"):
        evaluation.add(sample(5, category="mean"), prediction(5), truth(5))


def test_unknown_metrics_are_refused_before_any_work():
    with pytest.raises(ConfigError, match="did you mean 'max_iou'"):
        Evaluation(protocol(), ["maxiou"], seed=0)


def test_an_empty_evaluation_has_reasons():
    for value in Evaluation(protocol(), NAMES, seed=0).report():
        assert value.value is None
        assert value.reason


def test_an_image_score_taken_from_the_map_does_not_depend_on_which_metrics_are_asked():
    values = []
    for names in (["image_ap"], ["ap", "image_ap"]):
        evaluation = Evaluation(protocol(size=(4, 4), interpolation="linear"), names, seed=0)
        for number, defective in enumerate((True, False, True, False)):
            rng = np.random.default_rng(number)
            truth = GroundTruth(mask=np.full((16, 16), defective))
            scores = rng.random((16, 16), dtype=np.float32)
            evaluation.add(sample(number, defective=defective), Prediction(score_map=scores), truth)
        values.append([row["image_score"] for row in evaluation.rows()])
    assert values[0] == values[1]


SIZES = ((211, 317), (97, 640), (400, 400), (170, 169), (700, 500), (64, 64))


def plateaus(number: int, size: tuple[int, int]) -> tuple[Regions, np.ndarray]:
    """Return up to five overlapping rectangles with scores, and a truth that some images have not."""
    draw = np.random.default_rng([7, number])
    masks = np.zeros((number % 6, *size), dtype=bool)
    for mask in masks:
        top, left = draw.integers(0, size[0] - 10), draw.integers(0, size[1] - 10)
        mask[top : top + draw.integers(5, size[0]), left : left + draw.integers(5, size[1])] = True
    truth = np.zeros(size, dtype=bool)
    if number % 3:
        top, left = draw.integers(0, size[0] - 30), draw.integers(0, size[1] - 30)
        truth[top : top + 25, left : left + 25] = True
    scores = (draw.random(len(masks)) * 0.5 + 0.1).astype(np.float32)
    return Regions(masks=MaskSet.encode(masks), index=np.arange(len(masks)), scores=scores, combine="sum"), truth


def as_released(drawn: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """Return the AP of sybeam27/IAP-ZSAS, from its description: see ``conf/protocol/iap_as.yaml``."""

    def stretched(scores: np.ndarray) -> np.ndarray:
        low, high = scores.min(), scores.max()
        return (scores - low) / (high - low) if high > low else np.zeros_like(scores)

    wide = np.stack([cv2.resize(stretched(one), (400, 400), interpolation=cv2.INTER_CUBIC) for one in drawn])
    small = [cv2.resize(t.astype(np.uint8), (400, 400), interpolation=cv2.INTER_NEAREST) for t in truths]
    return float(average_precision_score(np.ravel(small), stretched(wide).ravel()))


@pytest.mark.parametrize("dense", [False, True])
def test_iap_as_computes_ap_as_released_and_iap_as_exact_keeps_ties_whole(dense: bool) -> None:
    made = [plateaus(number, size) for number, size in enumerate(SIZES)]
    evaluations = [Evaluation(protocol(n, resamples=0), ["ap"], seed=0) for n in ("iap_as", "iap_as_exact")]
    for number, (regions, truth) in enumerate(made):
        one = sample(number, category="a", defective=bool(truth.any()))
        found = Prediction(score_map=regions.exact_map()) if dense else Prediction(regions=regions)
        for evaluation in evaluations:
            evaluation.add(one, found, GroundTruth(mask=truth))
    released, exact = (row(evaluation, "ap", "a").value for evaluation in evaluations)
    assert released == pytest.approx(as_released([r.exact_map() for r, _ in made], [t for _, t in made]), abs=1e-12)
    near = [cv2.resize(r.score_map(), (400, 400), interpolation=cv2.INTER_NEAREST) for r, _ in made]
    small = [cv2.resize(t.astype(np.uint8), (400, 400), interpolation=cv2.INTER_NEAREST) for _, t in made]
    assert exact == pytest.approx(average_precision_score(np.ravel(small), np.ravel(near)), abs=1e-9)
    assert abs(released - exact) > 0.001, "cubic weights rank the pixels of a region by rounding"


def test_a_failed_image_does_not_lend_its_pipeline_a_score_map():
    """Labels alone: the worst answer that a failed image counts as is no map of the pipeline's."""
    labels = {at: Prediction(label=bool(at % 2)) for at in range(12)}
    broken = {**labels, 3: Prediction(outcome="failed", message="unreadable")}
    told = "no image has a {} (the 1 that failed count as wrong)"
    for special, maps, scores in (
        (labels, "12 of 12 images have no score map", "12 of 12 images have no score"),
        (broken, told.format("score map"), told.format("score")),
        ({3: broken[3], 5: labels[5]}, "1 of 12 images have no score map", "1 of 12 images have no score"),
    ):
        evaluation = evaluated(("ap", "image_auroc"), special=special)
        assert row(evaluation, "ap", "pooled").reason == maps
        assert row(evaluation, "image_auroc", "pooled").reason == scores
