"""Ignored pixels are no part of a component's area; a component of nothing else is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import GroundTruth, MaskSet, Regions
from benchmark.scoring.metrics.pixel import aupro
from benchmark.scoring.metrics.pool import count
from benchmark.scoring.metrics.regions import build_atoms
from benchmark.scoring.metrics.tables import component_shares, dense_table
from tests.scoring.metrics.direct import pixel_metrics

SCORES = np.array([[0.1, 0.2, 0.9, 0.8]], dtype=np.float32)
MASK = np.array([[False, False, True, True]])


def of(scores: np.ndarray, mask: np.ndarray, ignore: np.ndarray, limit: float = 0.3) -> float:
    return float(aupro(count([dense_table(scores, mask, ignore=ignore, components=True)]), limit=limit))


def test_a_perfect_map_is_perfect_whatever_is_ignored() -> None:
    assert of(SCORES, MASK, np.array([[False, False, False, True]])) == 1.0
    assert of(SCORES, MASK, np.array([[False, False, True, False]])) == 1.0
    assert of(SCORES, MASK, np.array([[True, False, False, True]])) == 1.0


def test_defects_that_are_all_ignored_leave_aupro_undefined() -> None:
    assert math.isnan(of(SCORES, MASK, MASK))


def test_a_component_of_ignored_pixels_alone_is_none() -> None:
    mask = np.array([[True, False, True, False, False]])
    ignore = np.array([[True, False, False, False, False]])
    scores = np.array([[0.0, 0.1, 0.9, 0.2, 0.3]], dtype=np.float32)
    assert of(scores, mask, ignore) == 1.0
    assert component_shares(mask, ignore)[1] == 1


def test_ignored_pixels_join_the_parts_of_one_defect() -> None:
    mask, ignore = np.array([[True, True, True, False]]), np.array([[False, True, False, False]])
    shares, number = component_shares(mask, ignore)
    assert (shares.tolist(), number) == ([0.5, 0.5], 1)


def test_regions_and_failed_answers_count_as_maps_do() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask, ignore = rng.random((12, 12)) < 0.3, rng.random((12, 12)) < 0.3
        regions = Regions(
            masks=MaskSet.encode(rng.random((3, 12, 12)) < 0.4),
            index=np.arange(3),
            scores=rng.random(3).astype(np.float32),
        )
        atoms = build_atoms(regions.masks, GroundTruth(mask=mask, ignore=ignore)).table(regions, components=True)
        drawn = dense_table(regions.score_map(), mask, ignore=ignore, components=True)
        assert atoms.n_components == drawn.n_components
        assert float(aupro(count([atoms]))) == pytest.approx(float(aupro(count([drawn]))), abs=1e-12)


def test_the_area_of_every_component_sums_to_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask, ignore = rng.random((15, 11)) < 0.4, rng.random((15, 11)) < 0.4
        shares, number = component_shares(mask, ignore)
        assert shares.size == np.count_nonzero(mask & ~ignore)
        assert shares.sum() == pytest.approx(number)


def test_an_ignore_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match="ignore mask"):
        dense_table(SCORES, MASK, ignore=np.zeros((4, 1), dtype=bool), components=True)


@pytest.mark.parametrize("limit", [-1, 0, 2, 1.0000001, math.nan, math.inf])
def test_a_limit_that_is_no_rate_is_refused(limit: float) -> None:
    for names in (("aupro",), ("ap",), ("aupro_200step",)):
        with pytest.raises(ConfigError, match="rate"):
            pixel_metrics([SCORES], [MASK], names=names, limit=limit)
    with pytest.raises(ConfigError, match="rate"):
        aupro(count([dense_table(SCORES, MASK, components=True)]), limit=limit)


def test_the_whole_range_is_a_limit() -> None:
    assert pixel_metrics([SCORES], [MASK], names=("aupro", "auroc"), limit=1) == {"aupro": 1.0, "auroc": 1.0}
