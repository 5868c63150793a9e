"""Rescoring, top-K and fusion: hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.samples import MaskSet, Regions
from benchmark.pipelines.saa.scoring import box_areas, corners, mean_saliency, rescored, strongest

LEFT = np.array([[[1, 0], [1, 0]]], dtype=bool)
SALIENCY = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)


def test_rescore() -> None:
    mean = mean_saliency(LEFT, SALIENCY)
    assert rescored(np.array([0.25], np.float32), mean, exponent=3)[0] == pytest.approx(0.4555297000976273, rel=1e-6)
    assert rescored(np.array([0.25], np.float32), mean, exponent=1)[0] == pytest.approx(0.25 * np.exp(0.2), rel=1e-6)


def test_an_empty_mask_keeps_its_score() -> None:
    mean = mean_saliency(np.zeros((1, 2, 2), dtype=bool), SALIENCY)
    assert np.isnan(mean[0])
    assert rescored(np.array([0.25], np.float32), mean, exponent=3).tolist() == [0.25]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (3, [[0.3, 0.3], [0.15, 0.05]]),
        (2, [[0.3, 0.3], [0.15, 0.0]]),
        (1, [[0.3, 0.3], [0.0, 0.0]]),
        (None, [[0.3, 0.3], [0.15, 0.05]]),
        (50, [[0.3, 0.3], [0.15, 0.05]]),
    ],
)
def test_fusion_of_the_strongest(k: int | None, expected: list[list[float]]) -> None:
    masks = np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 1]]], dtype=bool)
    scores = np.array([0.6, 0.3, 0.1])
    index = strongest(scores, k)
    regions = Regions(
        masks=MaskSet.encode(masks), index=index, scores=scores[index].astype(np.float32), combine="mean_with_one"
    )
    np.testing.assert_allclose(regions.score_map(), expected, atol=1e-7)


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, 40))
def test_the_strongest_are_the_largest(scores: list[float], number: int) -> None:
    values = np.array(scores)
    chosen = values[strongest(values, number)]
    assert sorted(chosen.tolist()) == sorted(scores)[-number:]


def test_boxes_become_areas_and_corners() -> None:
    boxes = np.array([[0.5, 0.5, 0.5, 0.2], [0.1, 0.9, 0.4, 0.4]], dtype=np.float32)
    np.testing.assert_allclose(box_areas(boxes), [0.1, 0.16], rtol=1e-6)
    expected = [[50, 40, 150, 60], [-20, 70, 60, 110]]
    np.testing.assert_allclose(corners(boxes, (100, 200)), expected, atol=1e-4)
