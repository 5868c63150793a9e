"""The exact metrics against scikit-learn, a naive AUPRO and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from benchmark.core.errors import DataError
from benchmark.report.papers.consistency import ap_bound
from benchmark.scoring.metrics import pixel, pool
from benchmark.scoring.metrics.tables import dense_table
from tests.scoring.metrics.maps import KINDS, continuous, few_valued, small_pool

CASES = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from(["float16", "float32", "float64"]))


def counted(maps, masks, **options):
    return pool.count([dense_table(s, m, **options) for s, m in zip(maps, masks, strict=True)])


def flat(maps, masks):
    scores = np.concatenate([np.asarray(s, dtype=np.float64).ravel() for s in maps])
    return np.concatenate([m.ravel() for m in masks]), scores


def naive_aupro(maps, masks, limit):
    """Every distinct threshold, every component, straight from the definition."""
    from skimage.measure import label

    regions = []
    for at, mask in enumerate(masks):
        labelled = label(mask, connectivity=2)
        regions += [(at, labelled == k) for k in range(1, labelled.max() + 1)]
    truth, scores = flat(maps, masks)
    good = np.sort(scores[~truth])
    xs, ys = [0.0], [0.0]
    for t in np.unique(scores)[::-1]:
        xs.append(float((good >= t).mean()))
        ys.append(float(np.mean([(np.asarray(maps[at], dtype=np.float64)[r] >= t).mean() for at, r in regions])))
    area = 0.0
    for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        area += (end - x0) * 0.5 * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0))
    return area / limit


@settings(max_examples=150, deadline=None)
@given(CASES)
def test_ap_f1_iou_and_auroc_agree_with_scikit_learn(case):
    maps, masks = small_pool(*case)
    counts = counted(maps, masks)
    truth, scores = flat(maps, masks)
    assert pixel.ap(counts) == pytest.approx(average_precision_score(truth, scores), abs=1e-9)
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    f1 = np.nan_to_num(2 * precision * recall / np.where(precision + recall > 0, precision + recall, 1.0))
    assert pixel.f_beta_max(counts) == pytest.approx(f1.max(), abs=1e-9)
    called = [scores >= t for t in thresholds]
    ious = [(c & truth).sum() / (c | truth).sum() for c in called]
    assert pixel.iou_max(counts) == pytest.approx(max(ious), abs=1e-9)
    best = scores >= pixel.f_beta_threshold(counts)
    assert 2 * (best & truth).sum() / (best.sum() + truth.sum()) == pytest.approx(f1.max(), abs=1e-9)
    if truth.all():
        assert np.isnan(pixel.auroc(counts))
    else:
        assert pixel.auroc(counts) == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(CASES, st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_agrees_with_the_definition(case, limit):
    maps, masks = small_pool(*case)
    value = pixel.aupro(counted(maps, masks, components=True), limit=limit)
    if all(m.all() for m in masks):
        assert np.isnan(value)
    else:
        assert value == pytest.approx(naive_aupro(maps, masks, limit), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(CASES, st.sampled_from([0.5, 2.0]))
def test_f_beta_max_is_the_best_over_every_threshold(case, beta):
    maps, masks = small_pool(*case)
    truth, scores = flat(maps, masks)
    best = 0.0
    for t in np.unique(scores):
        called = scores >= t
        tp, fp, fn = (called & truth).sum(), (called & ~truth).sum(), (~called & truth).sum()
        best = max(best, (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp))
    assert pixel.f_beta_max(counted(maps, masks), beta=beta) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("maker", [continuous, few_valued])
@pytest.mark.parametrize("size", [1, 40, 1 << 18])
def test_cutting_the_score_axis_changes_nothing(monkeypatch, maker, size):
    maps, masks = maker(6, 48, seed=3)
    truth, scores = flat(maps, masks.astype(bool))
    monkeypatch.setattr(pool, "SLICE", size)
    monkeypatch.setattr(pool, "SLICE_PER_IMAGE", 1)
    counts = counted(maps, masks, components=True)
    assert counts.score.tolist() == np.unique(scores[truth])[::-1].tolist()
    assert counts.tp.tolist() == [(scores[truth] >= t).sum() for t in counts.score]
    assert counts.fp.tolist() == [(scores[~truth] >= t).sum() for t in counts.score]
    assert counts.fp_above.tolist() == [(scores[~truth] > t).sum() for t in counts.score]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [0.5, -0.75, 0.0, 3e38])
@pytest.mark.parametrize("ceiling", [0, 3, 1000])
def test_counting_number_by_number_equals_sorting(monkeypatch, start, dtype, ceiling):
    monkeypatch.setattr(pool, "ORDINALS_PER_PIXEL", ceiling)
    monkeypatch.setattr(pool, "SLICE", 60)
    monkeypatch.setattr(pool, "SLICE_PER_IMAGE", 1)
    rng = np.random.default_rng(5)
    steps = rng.integers(-90, 90, (4, 9, 8)) * np.spacing(np.array(start, dtype=dtype))
    maps = [(np.array(start, dtype=dtype) + own).astype(dtype) for own in steps]
    maps[1][maps[1] == 0] = -0.0
    masks = [rng.random(own.shape) < 0.3 for own in maps]
    # few scores by runs, beyond the others on both sides, and one map of the other precision
    other = "float64" if dtype == "float32" else "float32"
    far = 3.3e38 if other == "float32" else 3.3e300
    maps.append(np.repeat(np.array([[-far, start, far]], dtype=other), 24, axis=1))
    maps.append(maps[0].astype(other))
    masks += [np.arange(72).reshape(1, 72) % 24 < 3, masks[2]]
    for some in (slice(0, 4), slice(0, 5), slice(0, 6)):
        counts = counted(maps[some], masks[some])
        truth, scores = flat(maps[some], masks[some])
        assert counts.score.tolist() == np.unique(scores[truth])[::-1].tolist()
        assert counts.tp.tolist() == [(scores[truth] >= t).sum() for t in counts.score]
        assert counts.fp.tolist() == [(scores[~truth] >= t).sum() for t in counts.score]
        assert counts.fp_above.tolist() == [(scores[~truth] > t).sum() for t in counts.score]


def test_a_map_counted_by_runs_equals_the_same_map_counted_by_sorting(monkeypatch):
    from benchmark.scoring.metrics import tables

    maps, masks = few_valued(8, 64, seed=1)
    by_runs = counted(maps, masks, components=True)
    monkeypatch.setattr(tables, "RUNS_PER_PIXEL", 0.0)
    repeated = counted(maps, masks, components=True)
    monkeypatch.setattr(tables, "REPEATED", 1.0)
    by_sorting = counted(maps, masks, components=True)
    for other in (repeated, by_sorting):
        for name in ("score", "tp", "fp", "fp_above", "n_pos", "n_neg", "n_components"):
            assert np.array_equal(getattr(by_runs, name), getattr(other, name)), name
        assert np.allclose(by_runs.overlap, other.overlap, atol=1e-12)


def test_integer_and_double_scores_keep_their_order_beside_single_ones():
    close = np.array([[1.0, 1.0 + 1e-12, 0.5, 0.25]])
    mask = np.array([[False, True, False, False]])
    assert pixel.ap(counted([close], [mask])) == 1.0
    mixed = counted([close, close.astype(np.float32), np.array([[0, 1, 2, 3]])], [mask] * 3)
    truth, scores = flat([close, close.astype(np.float32), np.array([[0, 1, 2, 3]])], [mask] * 3)
    assert pixel.ap(mixed) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_counts_past_2_to_the_24_stay_whole():
    mask = np.zeros((4096, 4097), dtype=bool)
    mask[0, 0] = True
    scores = np.zeros(mask.shape, dtype=np.float32)
    counts = counted([scores, scores], [mask, mask])
    assert int(counts.fp[-1]) == 2 * (mask.size - 1) > 2**24
    assert pixel.ap(counts) == 2 / (2 * mask.size)


def test_values_worked_out_by_hand():
    truth = np.array([[0, 0, 1, 1, 0, 1]], dtype=bool)
    scores = np.array([[0.1, 0.4, 0.35, 0.8, 0.35, 0.1]])
    counts = counted([scores], [truth])
    assert pixel.f_beta_max(counts) == pytest.approx(2 / 3, abs=1e-12)
    assert pixel.ap(counts) == pytest.approx(2 / 3, abs=1e-12)
    assert pixel.iou_max(counts) == pytest.approx(0.5, abs=1e-12)
    assert pixel.f_beta_threshold(counts) == pytest.approx(0.1)


def test_a_constant_map_is_defined():
    counts = counted([np.full((4, 5), 3.0)], [np.arange(20).reshape(4, 5) < 5])
    assert pixel.ap(counts) == 0.25
    assert pixel.f_beta_max(counts) == pytest.approx(2 * 5 / (5 + 20))
    assert pixel.auroc(counts) == 0.5


def test_without_defects_every_metric_is_undefined():
    counts = counted([np.random.default_rng(0).random((4, 5))], [np.zeros((4, 5), dtype=bool)], components=True)
    assert all(np.isnan(f(counts)) for f in (pixel.ap, pixel.f_beta_max, pixel.iou_max, pixel.auroc, pixel.aupro))
    assert np.isnan(pixel.f_beta_threshold(counts))


@pytest.mark.parametrize(
    ("f1", "bound"),
    [
        (1.8, 1.876),
        (2.3, 2.418),
        (2.6, 2.746),
        (6.5, 7.217),
        (14.0, 16.535),
        (16.7, 20.041),
        (6.7, 7.455),
        (40.13, 51.26),
    ],
)
def test_the_bound_on_ap_given_f1_max(f1, bound):
    assert 100 * ap_bound(f1 / 100) == pytest.approx(bound, abs=5e-3)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_no_score_map_passes_the_bound_on_ap(case):
    counts = counted(*small_pool(*case))
    assert pixel.ap(counts) <= ap_bound(min(1.0, float(pixel.f_beta_max(counts)))) + 1e-12


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("smooth", [True, False])
def test_scores_that_are_not_finite_are_refused(bad, smooth):
    scores = np.zeros((6, 6)) if smooth else np.random.default_rng(0).random((6, 6))
    scores[2, 3] = bad
    with pytest.raises(DataError, match=r"a/b\.png: NaN or infinite"):
        dense_table(scores, np.eye(6, dtype=bool), where="a/b.png")


def test_masks_that_are_not_binary_and_shapes_that_differ_are_refused():
    scores = np.zeros((4, 4), dtype=np.float32)
    with pytest.raises(DataError, match="not binary"):
        dense_table(scores, np.full((4, 4), 255, dtype=np.uint8))
    with pytest.raises(DataError, match="not binary"):
        dense_table(scores, np.full((4, 4), 0.5))
    with pytest.raises(DataError, match="both must be one"):
        dense_table(scores, np.zeros((4, 5), dtype=bool))
    with pytest.raises(DataError, match="cannot be ranked"):
        dense_table(scores.astype(complex), np.zeros((4, 4), dtype=bool))
    with pytest.raises(DataError, match="no pixel is left"):
        dense_table(scores, np.zeros((4, 4), dtype=bool), ignore=np.ones((4, 4), dtype=bool))


def test_ignored_pixels_are_counted_nowhere():
    rng = np.random.default_rng(5)
    scores, mask, ignore = rng.random((9, 9)), rng.random((9, 9)) < 0.3, rng.random((9, 9)) < 0.4
    counts = counted([scores], [mask], ignore=ignore)
    assert pixel.ap(counts) == pytest.approx(average_precision_score(mask[~ignore], scores[~ignore]), abs=1e-12)
    assert int(counts.n_pos + counts.n_neg) == (~ignore).sum()
