"""The published variants against routines written as their authors describe them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.scoring.metrics import pixel, pool
from benchmark.scoring.metrics.registry import METRICS
from benchmark.scoring.metrics.tables import dense_table
from tests.scoring.metrics.maps import continuous, few_valued

SETS = {"continuous": continuous(8, 64), "few_valued": few_valued(8, 64)}


def variant(name, maps, masks):
    tables = [dense_table(s, m, components=True) for s, m in zip(maps, masks, strict=True)]
    return float(METRICS[name].function(pool.pooled_counts(tables, METRICS[name].grid, pool.score_range(tables))))


def confusion_at(maps, masks, thresholds, *, strict):
    scaled, truth = (maps - maps.min()) / (maps.max() - maps.min()), masks.astype(bool)
    for t in thresholds:
        called = scaled > t if strict else scaled >= t
        yield (called & truth).sum(), (called & ~truth).sum(), (~called & truth).sum()


@pytest.mark.parametrize("kind", SETS)
def test_f1_max_over_100_even_thresholds(kind):
    maps, masks = SETS[kind]
    best = max(
        2 * tp / (2 * tp + fp + fn) for tp, fp, fn in confusion_at(maps, masks, np.linspace(0, 1, 100), strict=False)
    )
    assert variant("f1_max_linspace100", maps, masks) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("kind", SETS)
def test_f1_and_iou_max_over_21_even_thresholds(kind):
    maps, masks = SETS[kind]
    cells = list(confusion_at(maps, masks, np.arange(0, 1.001, 0.05), strict=True))
    f1 = max(2 * tp / (2 * tp + fp + fn) for tp, fp, fn in cells)
    iou = max(tp / (tp + fp + fn) for tp, fp, fn in cells)
    assert variant("f1_max_21", maps, masks) == pytest.approx(f1, abs=1e-12)
    assert variant("iou_max_21", maps, masks) == pytest.approx(iou, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "truth", "ap", "linspace", "exact"),
    [
        (
            [0, 0, 0, 0.1, 0.2, 0.35, 0.35, 0.501, 0.504, 0.8, 1.0],
            [0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1],
            0.9166666666666666,
            0.8,
            0.8571428571428571,
        ),
        ([0, 0.001, 0.002, 0.003, 0.004, 1.0], [0, 0, 0, 1, 1, 0], 0.5833333333333333, 0.5, 0.8),
    ],
)
def test_values_worked_out_by_hand(scores, truth, ap, linspace, exact):
    maps, masks = np.array([[scores]], dtype=np.float64), np.array([[truth]], dtype=np.uint8)
    assert variant("ap", maps, masks) == pytest.approx(ap, abs=1e-12)
    assert variant("f1_max", maps, masks) == pytest.approx(exact, abs=1e-12)
    assert variant("f1_max_linspace100", maps, masks) == pytest.approx(linspace, abs=1e-12)


@pytest.mark.parametrize("kind", SETS)
def test_the_trapezoid_under_points_sorted_by_recall(kind):
    from sklearn.metrics import precision_recall_curve

    maps, masks = SETS[kind]
    precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel())
    order = np.argsort(recall, kind="stable")
    area = np.trapezoid(precision[order], recall[order])
    assert variant("ap_trapezoid", maps, masks) == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("kind", SETS)
def test_aupro_over_200_steps(kind):
    from scipy.ndimage import label

    maps, masks = SETS[kind]
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        labelled, number = label(mask, structure=np.ones((3, 3)))
        regions += [scores[labelled == k].astype(np.float64) for k in range(1, number + 1)]
    low, high = float(maps.min()), float(maps.max())
    good = maps[masks == 0].astype(np.float64)
    points = []
    for k in range(200):
        t = low + k / 200 * (high - low)
        points.append(((good > t).mean(), np.mean([(r > t).mean() for r in regions])))
    fpr, pro = np.array([p for p in points if p[0] < 0.3]).T
    fpr = (fpr - fpr.min()) / (fpr.max() - fpr.min())
    area = -np.trapezoid(pro, fpr)
    assert variant("aupro_200step", maps, masks) == pytest.approx(area, abs=1e-9)


def test_variants_move_under_a_rescaling_that_exact_metrics_do_not_see():
    maps, masks = SETS["continuous"]
    bent = maps.astype(np.float64) ** 8
    assert variant("ap", bent, masks) == pytest.approx(variant("ap", maps, masks), abs=1e-9)
    assert abs(variant("f1_max_21", bent, masks) - variant("f1_max_21", maps, masks)) > 0.01


def test_no_grid_beats_the_exact_maximum():
    for maps, masks in SETS.values():
        tables = [dense_table(s, m) for s, m in zip(maps, masks, strict=True)]
        exact = pixel.f_beta_max(pool.count(tables))
        assert max(variant(n, maps, masks) for n in ("f1_max_21", "f1_max_linspace100")) <= exact + 1e-12
