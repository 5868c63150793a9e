"""Saliency against hand-computed values and a naive implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.pipelines.saa import saliency
from benchmark.pipelines.saa.levels import Levels
from benchmark.pipelines.saa.saliency import Neighbours, between_objects, to_grid, to_image, whole_image
from tests.pipelines.saa import naive

torch.set_num_threads(1)


def random_maps(seed: int, side: int = 8) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.random((c, side >> n, side >> n), dtype=np.float32) for n, c in enumerate((3, 5, 7))]


def levels(maps: list[NDArray[np.float32]]) -> Levels:
    return Levels(tuple(torch.from_numpy(m) for m in maps))


def flat(features: list[list[float]], side: int) -> Levels:
    return Levels((torch.tensor(features, dtype=torch.float32).T.reshape(2, side, side).contiguous(),))


def test_three_equal_places_and_one_that_differs() -> None:
    found = whole_image(flat([[1, 0], [1, 0], [1, 0], [0, 1]], 2), number=4, neighbours="farthest", factor=0.5)
    np.testing.assert_allclose(found.ravel(), [0.125, 0.125, 0.125, 0.375], atol=1e-7)


@pytest.mark.parametrize(
    ("neighbours", "expected"),
    [("farthest", [0.35, 0.35, 0.35, 0.2, 0.5]), ("nearest", [0.0, 0.0, 0.0, 0.05, 0.05])],
)
def test_farthest_and_nearest_are_told_apart(neighbours: Neighbours, expected: list[float]) -> None:
    # Cosines 1, 0.6 and 0.8 give the distances 0, 0.2 and 0.1 with factor 0.5; orthogonal ones 0.5.
    points = [[1, 0], [1, 0], [1, 0], [0.6, 0.8], [0, 1]]
    cosine = np.array(points) @ np.array(points).T
    # Five places do not fill a square grid, so the selection is tested on their distances.
    distances = torch.from_numpy((0.5 * (1 - cosine)).astype(np.float32))
    sign = -1.0 if neighbours == "farthest" else 1.0
    found = sign * saliency._mean_of_smallest(sign * distances, 2)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(1, 80), farthest=st.booleans())
def test_whole_image_equals_the_naive_form(seed: int, number: int, farthest: bool) -> None:
    maps = random_maps(seed)
    found = whole_image(
        levels(maps), number=number, neighbours="farthest" if farthest else "nearest", factor=0.5 if farthest else 1.0
    )
    expected = naive.whole_image(maps, number=number, farthest=farthest, factor=0.5 if farthest else 1.0)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), objects=st.integers(2, 9), share=st.floats(0.02, 0.6))
def test_between_objects_equals_the_naive_form(seed: int, objects: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((objects, 8, 8)) < share
    masks[:, rng.integers(8), rng.integers(8)] = True
    maps = random_maps(seed)
    np.testing.assert_allclose(between_objects(levels(maps), masks), naive.between_objects(maps, masks), atol=2e-6)


def test_chunks_of_places_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps(3, side=16)
    masks = np.random.default_rng(3).random((4, 16, 16)) < 0.3
    whole = between_objects(levels(maps), masks)
    for rows, columns in ((1000, 7), (5, 1000), (3, 11)):
        monkeypatch.setattr(saliency, "ROWS", rows)
        monkeypatch.setattr(saliency, "COLUMNS", columns)
        np.testing.assert_allclose(between_objects(levels(maps), masks), whole, atol=1e-6)


def test_two_equal_objects_have_nothing_to_compare_with() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 2:5] = True
    found = between_objects(levels(random_maps(1)), np.stack([mask, mask]))
    np.testing.assert_allclose(found, np.where(mask, 0.5, 0.0))


def test_a_constant_image_is_salient_nowhere() -> None:
    maps = [np.ones((c, 8 >> n, 8 >> n), dtype=np.float32) for n, c in enumerate((3, 5, 7))]
    found = whole_image(levels(maps), number=10, neighbours="farthest", factor=0.5)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_features_of_zero_are_not_a_division_by_zero() -> None:
    maps = [np.zeros((c, 8 >> n, 8 >> n), dtype=np.float32) for n, c in enumerate((3, 5, 7))]
    found = whole_image(levels(maps), number=10, neighbours="farthest", factor=0.5)
    np.testing.assert_allclose(found, 0.5)


def test_levels_must_halve() -> None:
    with pytest.raises(ValueError, match="level 1"):
        levels([np.ones((1, 8, 8), np.float32), np.ones((1, 3, 3), np.float32)])


def test_maps_and_masks_go_between_grid_and_image() -> None:
    masks = np.zeros((1, 40, 20), dtype=bool)
    masks[0, :20, :10] = True
    small = to_grid(masks, 4)
    assert small[0].tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    assert to_grid(masks[:0], 4).shape == (0, 4, 4)
    assert to_image(np.ones((4, 4), np.float32), (40, 20)).shape == (40, 20)
