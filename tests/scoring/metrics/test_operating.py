"""Operating points: by hand, against every threshold tried one by one, and said to be oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.scoring.metrics.counts import score_counts
from benchmark.scoring.metrics.operating import passed_at_misses, recall_at_false_alarms
from benchmark.scoring.metrics.registry import METRICS, title
from tests.scoring.metrics.direct import pixel_metrics


def brute(scores: np.ndarray, truth: np.ndarray, rate: float) -> tuple[float, float]:
    """Try every threshold: best recall at the alarm rate, best share passed at the miss rate."""
    found, passed = 0.0, 0.0
    for t in (*np.unique(scores), np.inf):
        called = scores >= t
        alarms, recall = called[~truth].mean(), called[truth].mean()
        if alarms <= rate + 1e-12:
            found = max(found, recall)
        if 1.0 - recall <= rate + 1e-12:
            passed = max(passed, 1.0 - alarms)
    return found, passed


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.2, 1.0])
def test_they_are_the_best_of_every_threshold(rate: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(4, 60))
        truth = np.arange(n) < rng.integers(1, n)
        scores = np.round(rng.normal(size=n) + truth, int(rng.integers(0, 3)))
        counts = score_counts(scores, truth)
        expected = brute(scores, truth, rate)
        assert float(recall_at_false_alarms(counts, rate=rate)) == pytest.approx(expected[0])
        assert float(passed_at_misses(counts, rate=rate)) == pytest.approx(expected[1])


def test_the_rate_is_kept_where_anomalib_interpolates() -> None:
    """The example of anomalib's PGn and PBn, 1.0 each there, misses one defective of two and alarms at one good."""
    counts = score_counts(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    assert float(passed_at_misses(counts, rate=0.2)) == 0.5 == float(recall_at_false_alarms(counts, rate=0.2))
    assert float(passed_at_misses(counts, rate=0.5)) == 1.0 == float(recall_at_false_alarms(counts, rate=0.5))


def test_they_are_undefined_without_one_of_the_classes() -> None:
    for truth in (np.zeros(5, dtype=bool), np.ones(5, dtype=bool)):
        counts = score_counts(np.arange(5.0), truth)
        assert math.isnan(float(recall_at_false_alarms(counts, rate=0.05)))
        assert math.isnan(float(passed_at_misses(counts, rate=0.05)))


def test_the_overlap_of_regions_is_the_height_of_the_pro_curve() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[0, :4], mask[9, :2] = True, True
    scores = np.where(mask, 0.9, 0.1)
    scores[0, 0], scores[5, :3] = 0.2, 0.5
    found = pixel_metrics([scores], [mask], names=("pro_at_fpr_1", "pro_at_fpr_5", "pro_at_fpr_1", "aupro"))
    assert found["pro_at_fpr_1"] == pytest.approx((0.75 + 1.0) / 2)
    assert found["pro_at_fpr_5"] == pytest.approx(1.0)


def regions_by_brute_force(maps: list[np.ndarray], masks: list[np.ndarray], overlap: float) -> float:
    """Try every threshold: the best share of good pixels left unmarked where regions are covered so far."""
    from skimage.measure import label

    best = 0.0
    for t in (*np.unique(np.stack(maps)), np.inf):
        parts, good = [], []
        for scores, mask in zip(maps, masks, strict=True):
            labelled = label(mask, connectivity=2)
            parts += [float((scores >= t)[labelled == k].mean()) for k in range(1, labelled.max() + 1)]
            good.append(scores[~mask] < t)
        if np.mean(parts) >= overlap - 1e-12:
            best = max(best, float(np.concatenate(good).mean()))
    return best


@pytest.mark.parametrize("percent", [99, 95])
def test_good_pixels_left_unmarked_at_an_overlap_are_the_best_of_every_threshold(percent: int) -> None:
    rng = np.random.default_rng(percent)
    for _ in range(30):
        masks = [rng.random((7, 8)) < share for share in (0.25, 0.0, 0.1)]
        masks[0][0, 0] = True
        maps = [np.round(rng.normal(size=m.shape) + 2.0 * m, int(rng.integers(0, 3))) for m in masks]
        name = f"tnr_at_pro_{percent}"
        expected = regions_by_brute_force(maps, masks, percent / 100)
        assert pixel_metrics(maps, masks, names=(name,))[name] == pytest.approx(expected)


def test_every_region_weighs_the_same_in_what_is_missed() -> None:
    mask = np.zeros((10, 30), dtype=bool)
    mask[0, :19], mask[9, 0] = True, True
    scores = np.where(mask, 0.9, 0.1)
    scores[5, :28] = 0.5
    scores[0, 0] = 0.2  # 1 of 19 pixels of one of two regions: 2.6 % missed
    found = pixel_metrics([scores], [mask], names=("tnr_at_pro_95", "tnr_at_pro_99"))
    assert found["tnr_at_pro_95"] == 1.0
    assert found["tnr_at_pro_99"] == pytest.approx(1 - 28 / 280)
    scores[9, 0], scores[0, 0] = 0.2, 0.9  # the same number of pixels, half of the regions
    assert pixel_metrics([scores], [mask], names=("tnr_at_pro_95",))["tnr_at_pro_95"] == pytest.approx(1 - 28 / 280)


def test_without_regions_or_good_pixels_it_is_undefined() -> None:
    for truth in (np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)):
        assert math.isnan(pixel_metrics([np.zeros((3, 4))], [truth], names=("tnr_at_pro_95",))["tnr_at_pro_95"])


def test_what_is_chosen_on_the_scored_images_says_oracle() -> None:
    oracles = {name for name in METRICS if title(name) == f"{name} (oracle)"}
    assert {
        "f1_max",
        "f2_max",
        "max_iou",
        "image_f1_max",
        "f1_max_21",
        "iou_max_21",
        "pro_at_fpr_1",
        "tnr_at_pro_95",
    } <= oracles
    assert not oracles & {"ap", "auroc", "aupro", "f1", "f2", "iou", "image_ap", "recall"}
    assert title("no_such_metric") == "no_such_metric"
