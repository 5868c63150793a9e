"""Operating points: by hand, against every threshold tried one by one, and said to be oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.scoring.metrics.counts import score_counts
from benchmark.scoring.metrics.direct import pixel_metrics
from benchmark.scoring.metrics.operating import passed_at_misses, recall_at_false_alarms
from benchmark.scoring.metrics.registry import METRICS, title


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


def test_what_is_chosen_on_the_scored_images_says_oracle() -> None:
    oracles = {name for name in METRICS if title(name) == f"{name} (oracle)"}
    assert {"f1_max", "f2_max", "max_iou", "image_f1_max", "f1_max_21", "iou_max_21", "pro_at_fpr_1"} <= oracles
    assert not oracles & {"ap", "auroc", "aupro", "f1", "f2", "iou", "image_ap", "recall"}
    assert title("no_such_metric") == "no_such_metric"
