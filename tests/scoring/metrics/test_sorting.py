"""Compiled sorting and counting give what NumPy's give, to the bit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.core.errors import DataError
from benchmark.scoring.metrics import pixel, pool, sorting
from benchmark.scoring.metrics.tables import dense_table, rescaled
from tests.scoring.metrics.maps import KINDS, continuous, few_valued, small_pool

CASES = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from(["float16", "float32", "float64"]))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def choose(monkeypatch):
    """Call it with True for compiled code whatever the size, with False for NumPy's."""
    pytest.importorskip("numba")

    def chosen(compiled):
        monkeypatch.setattr(sorting, "FEW", 0 if compiled else 1 << 62)
        monkeypatch.setattr(sorting, "WORTH", 0 if compiled else 1 << 62)
        assert (sorting.compiled() is not None) == compiled

    return chosen


def equal(one, two):
    pairs = [(part, getattr(two, name)) for name, part in vars(one).items()]
    return all(a is b or (np.array_equal(a, b) and a.dtype == b.dtype) for a, b in pairs)


@MANY
@given(CASES, st.booleans(), st.booleans())
def test_pools_are_counted_alike(choose, case, ignoring, scaled):
    maps, masks = small_pool(*case)
    rng = np.random.default_rng(case[0])
    ignored = [rng.random(m.shape) < 0.2 if ignoring else None for m in masks]
    found = []
    for compiled in (False, True):
        choose(compiled)
        tables = [
            dense_table(s, m, ignore=i, components=True) for s, m, i in zip(maps, masks, ignored, strict=True)
        ]  # fmt: skip
        if scaled:
            tables = [rescaled(table, *pool.score_range(tables)) for table in tables]
        found.append(pool.count(tables))
    assert equal(*found)


@pytest.mark.parametrize("shift", [0.0, -0.5, 3.0e38])
def test_many_slices_of_many_images_are_counted_alike(choose, monkeypatch, shift):
    maps, masks = continuous(40, 64)
    maps = maps + np.float32(shift) if shift < 1 else maps * np.float32(shift)
    maps[::7] = few_valued(40, 64)[0][::7]
    maps[3] = np.where(masks[3] > 0, np.float32(0.0), np.float32(-0.0))
    maps[4, :30] = 0.0
    monkeypatch.setattr(pool, "SLICE_PER_IMAGE", 8)
    monkeypatch.setattr(pool, "SLICE", 1 << 12)
    monkeypatch.setattr(sorting._module(), "CROWDED", 1 << 7)
    found = []
    for compiled in (False, True):
        choose(compiled)
        found.append(pool.count([dense_table(s, m) for s, m in zip(maps, masks, strict=True)]))
    assert equal(*found)
    for metric in (pixel.ap, pixel.f_beta_max, pixel.iou_max, pixel.auroc):
        assert float(metric(found[0])) == float(metric(found[1]))


@MANY
@given(st.lists(st.floats(width=32, allow_nan=False), max_size=60))
def test_scores_are_sorted_alike(choose, scores):
    scores = np.array(scores, dtype=np.float32)
    choose(True)
    ordered = sorting.ascending(scores)
    assert np.array_equal(ordered, np.sort(scores))
    assert np.array_equal(np.sort(ordered.view(np.uint32)), np.sort(scores.view(np.uint32)))  # not a bit is changed


def test_scores_that_cannot_be_written_to_are_sorted(choose):
    scores = np.linspace(1, 0, 5000, dtype=np.float32)
    scores.flags.writeable = False
    choose(True)
    assert np.array_equal(sorting.ascending(scores[::2]), np.sort(scores[::2]))


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(choose, bad):
    scores = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    scores[4, 4] = bad
    choose(True)
    with pytest.raises(DataError, match="NaN or infinite"):
        dense_table(scores, scores > 0.5)


def test_few_scores_do_not_import_numba(monkeypatch):
    monkeypatch.setattr(sorting._Sorted, "scores", 0)
    sorting.ascending(np.zeros(sorting.FEW, np.float32))
    assert sorting.compiled() is None


def test_numpy_sorts_where_numba_cannot_be_imported(monkeypatch, caplog):
    monkeypatch.setattr(sorting, "FEW", 0)
    monkeypatch.setattr(sorting, "WORTH", 0)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "benchmark.scoring.metrics.compiled", raising=False)
    monkeypatch.delattr("benchmark.scoring.metrics.compiled", raising=False)
    sorting._module.cache_clear()
    try:
        assert sorting.ascending(np.float32([3, 1, 2])).tolist() == [1, 2, 3] and sorting.compiled() is None
        assert "scores are sorted by NumPy" in caplog.text
    finally:
        sorting._module.cache_clear()
