"""Atoms of region sets against maps drawn pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, MaskSet, Regions
from benchmark.scoring.metrics import pixel, pool
from benchmark.scoring.metrics.regions import AtomTable, build_atoms, checked_regions, run_ends
from benchmark.scoring.metrics.tables import dense_table
from tests.scoring.metrics.maps import region_set

METRICS = (pixel.ap, pixel.f_beta_max, pixel.iou_max, pixel.auroc, pixel.aupro)


def drawn(seed, *, count=None, density=0.3, ignored=False):
    """A mask set of random shapes, scored, with a ground truth."""
    rng = np.random.default_rng(seed)
    height, width = (int(x) for x in rng.integers(1, 12, 2))
    number = int(rng.integers(0, 8)) if count is None else count
    masks = rng.random((number, height, width)) < rng.choice([0.0, density, 1.0], number)[:, None, None]
    truth = GroundTruth(
        mask=rng.random((height, width)) < 0.4, ignore=rng.random((height, width)) < 0.2 if ignored else None
    )
    chosen = np.flatnonzero(rng.random(number) < 0.7)
    scores = rng.choice(np.array([0.0, 0.25, 0.5, 1.0], dtype=np.float32), chosen.size)
    return Regions(masks=MaskSet.encode(masks), index=chosen, scores=scores), truth, masks


def assert_same_counts(atoms, dense):
    for name in ("score", "tp", "fp", "fp_above", "n_pos", "n_neg", "n_components"):
        assert np.array_equal(getattr(atoms, name), getattr(dense, name)), name
    assert np.allclose(atoms.overlap, dense.overlap, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_atoms_count_exactly_as_the_drawn_map(seed, ignored):
    regions, truth, _ = drawn(seed, ignored=ignored)
    if truth.ignore is not None and truth.ignore.all():
        return
    table = build_atoms(regions.masks, truth).table(regions, components=True)
    dense = dense_table(regions.score_map(), truth.mask, ignore=truth.ignore, components=True)
    assert_same_counts(pool.count([table]), pool.count([dense]))
    assert table.high == dense.high


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, 130])
def test_any_number_of_regions(number):
    regions, truth, _ = drawn(number, count=number)
    table = build_atoms(regions.masks, truth).table(regions, components=True)
    dense = dense_table(regions.score_map(), truth.mask, components=True)
    assert_same_counts(pool.count([table]), pool.count([dense]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.booleans())
def test_atoms_sampled_by_nearest_neighbour_equal_the_resized_map(seed, size, ignored):
    import cv2

    regions, _, _ = drawn(seed)
    rng = np.random.default_rng(seed)
    truth = GroundTruth(mask=rng.random(size) < 0.5, ignore=rng.random(size) < 0.1 if ignored else None)
    if truth.ignore is not None and truth.ignore.all():
        return
    resized = cv2.resize(regions.score_map(), size[::-1], interpolation=cv2.INTER_NEAREST)
    dense = dense_table(np.asarray(resized).reshape(size), truth.mask, ignore=truth.ignore, components=True)
    table = build_atoms(regions.masks, truth).table(regions, components=True)
    assert_same_counts(pool.count([table]), pool.count([dense]))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_run_ends_follow_the_decoded_masks(seed):
    _, _, masks = drawn(seed)
    ends, owner = run_ends(MaskSet.encode(masks).counts)
    for at, mask in enumerate(masks):
        column_major = mask.ravel(order="F")
        mine = ends[owner == at]
        walked = np.zeros(column_major.size, dtype=bool)
        for first, last in zip(mine[0::2], mine[1::2], strict=False):
            walked[first:last] = True
        assert np.array_equal(walked, column_major)
        assert mine[-1] == column_major.size


def test_long_runs_and_falling_run_lengths_are_decoded():
    mask = np.zeros((1, 700, 900), dtype=bool)
    mask[0, 5:695, 3] = True
    mask[0, 1:4, 500:] = True
    mask[0, 650:, 899] = True
    ends, _ = run_ends(MaskSet.encode(mask).counts)
    changes = np.flatnonzero(np.diff(mask[0].ravel(order="F").astype(int))) + 1
    assert ends.tolist() == [*changes.tolist(), mask.size]


def test_a_sweep_over_area_and_top_k_equals_dense_maps():
    rng = np.random.default_rng(0)
    sets = [region_set(rng, 96) for _ in range(6)]
    coded = [MaskSet.encode(masks) for _, masks, _ in sets]
    atoms = [build_atoms(c, GroundTruth(mask=t)) for c, (t, _, _) in zip(coded, sets, strict=True)]
    for limit, top in ((0.02, 1), (0.1, 3), (1.0, 50)):
        tables, dense = [], []
        for code, table, (truth, masks, scores) in zip(coded, atoms, sets, strict=True):
            kept = np.flatnonzero(masks.mean(axis=(1, 2)) <= limit)
            kept = kept[np.argsort(-scores[kept], kind="stable")[:top]]
            regions = Regions(masks=code, index=kept, scores=scores[kept])
            tables.append(table.table(regions, components=True))
            dense.append(dense_table(regions.score_map(), truth, components=True))
        for metric in METRICS:
            assert metric(pool.count(tables)) == pytest.approx(metric(pool.count(dense)), abs=1e-12)


def test_a_table_survives_plain_arrays():
    regions, truth, _ = drawn(7, count=13)
    table = build_atoms(regions.masks, truth)
    back = AtomTable.from_arrays(table.to_arrays())
    for name in ("member", "n_pos", "n_neg", "overlap"):
        assert np.array_equal(getattr(back, name), getattr(table, name))
    assert back.n_components == table.n_components


def test_min_max_of_the_drawn_map():
    regions, truth, _ = drawn(11, count=5)
    scores = regions.score_map()
    span = scores.max() - scores.min()
    stretched = (scores - scores.min()) / span if span else np.zeros_like(scores)
    table = build_atoms(regions.masks, truth).table(regions, components=True, unit_range=True)
    assert_same_counts(pool.count([table]), pool.count([dense_table(stretched, truth.mask, components=True)]))


def test_regions_that_cannot_be_scored_are_refused():
    masks = MaskSet.encode(np.ones((2, 3, 4), dtype=bool))
    one = np.array([0])

    def regions(index, scores):
        return Regions(masks=masks, index=np.array(index), scores=np.array(scores, dtype=np.float32))

    with pytest.raises(DataError, match="the ground truth"):
        checked_regions(regions(one, [1.0]), (4, 3), "a.png")
    with pytest.raises(DataError, match="outside the 2 masks"):
        checked_regions(regions([2], [1.0]), (3, 4), "a.png")
    with pytest.raises(DataError, match=r"a\.png: region scores"):
        checked_regions(regions([1], [np.nan]), (3, 4), "a.png")
    with pytest.raises(DataError, match="not negative"):
        checked_regions(regions([1], [-0.5]), (3, 4), "a.png")
    with pytest.raises(DataError, match="indices for"):
        checked_regions(regions([0, 1], [0.5]), (3, 4), "a.png")
