"""AnomalyDINO's maths against naive forms: foreground, turned references, distances, image score, map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from benchmark.models import anomaly_dino
from benchmark.models.anomaly_dino import cosine_distances, draw, foreground, mean_of_largest, turned


def features(grid: tuple[int, int], inside: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Patches whose first component is far positive inside and far negative outside, or the other way round."""
    draws = np.random.default_rng(seed)
    direction = draws.standard_normal(12)
    level = np.where(inside.ravel(), 40.0, -40.0)
    return (
        level[:, None] * direction / np.linalg.norm(direction) + draws.standard_normal((grid[0] * grid[1], 12))
    ).astype(np.float32)


def test_the_object_in_the_centre_is_the_foreground_whatever_the_sign_of_the_component() -> None:
    grid = (12, 16)
    inside = np.zeros(grid, dtype=bool)
    inside[3:9, 4:12] = True
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for sign in (1, -1):
        found = foreground(sign * features(grid, inside), grid, threshold=10.0, growth="square")
        np.testing.assert_array_equal(found.reshape(grid), grown)


def test_small_holes_are_filled_and_a_threshold_out_of_reach_leaves_nothing() -> None:
    grid = (20, 20)
    inside = np.zeros(grid, dtype=bool)
    inside[4:14, 5:15] = True
    inside[8, 8] = False
    found = foreground(features(grid, inside), grid, threshold=10.0, growth="square").reshape(grid)
    assert found[3:15, 4:16].all() and found.sum() == 144
    assert not foreground(features(grid, inside), grid, threshold=1e6, growth="square").any()


def test_the_released_code_grows_the_mask_along_the_rows_joined_to_one_line() -> None:
    grid = (12, 12)
    inside = np.zeros(grid, dtype=bool)
    inside[3:9, 6:12] = True
    found = foreground(features(grid, inside), grid, threshold=10.0, growth="rows").reshape(grid)
    expected = inside.copy()
    expected[3:9, 5] = expected[4:10, 0] = True  # one patch to the left, and round the end of each row
    np.testing.assert_array_equal(found, expected)


def test_an_image_is_turned_about_its_centre_with_its_rim_mirrored() -> None:
    image = np.random.default_rng(1).integers(0, 256, (21, 21, 3)).astype(np.uint8)
    still, quarter, half = turned(image, (0, 90, 180))
    np.testing.assert_array_equal(still, image)
    # The centre is taken at (W / 2, H / 2), half a pixel beside that of the pixels: what is turned is shifted by one.
    np.testing.assert_array_equal(half[1:, 1:], image[::-1, ::-1][:-1, :-1])
    np.testing.assert_array_equal(quarter[1:], np.rot90(image)[:-1])
    np.testing.assert_array_equal(half[0, 1:], half[2, 1:])


@pytest.mark.parametrize("chunk", [1, 60, 1 << 24])
@pytest.mark.parametrize("neighbours", [1, 3, 50])
def test_distances_are_one_minus_the_cosine(neighbours: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly_dino, "CHUNK", chunk)
    draws = np.random.default_rng(2)
    patches, memory = draws.standard_normal((17, 6)), draws.standard_normal((11, 6))
    unit = memory / np.linalg.norm(memory, axis=1, keepdims=True)
    cosines = (patches / np.linalg.norm(patches, axis=1, keepdims=True)) @ unit.T
    expected = 1 - np.sort(cosines, axis=1)[:, ::-1][:, :neighbours].mean(axis=1)
    found = cosine_distances(torch.from_numpy(patches).float(), torch.from_numpy(unit).float(), neighbours=neighbours)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_wholly_masked_image_has_no_distances() -> None:
    assert cosine_distances(torch.zeros(0, 4), torch.ones(3, 4) / 2, neighbours=1).shape == (0,)


@pytest.mark.parametrize(("number", "averaged"), [(50, 1), (199, 1), (200, 2), (1024, 10)])
def test_the_image_score_is_the_mean_of_the_top_percent(number: int, averaged: int) -> None:
    distances = np.random.default_rng(number).random(number, dtype=np.float32)
    expected = sorted(distances.tolist(), reverse=True)[:averaged]
    assert mean_of_largest(distances, 0.01) == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_map_has_the_size_of_the_image_and_keeps_its_level() -> None:
    drawn = draw(np.full((5, 7), 0.3, dtype=np.float32), (40, 90), smoothing=4.0)
    assert drawn.shape == (40, 90) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, 0.3, rtol=1e-6)
    distances = np.zeros((4, 4), dtype=np.float32)
    distances[1, 2] = 1.0
    for smoothing in (0.0, 2.0):
        at = np.unravel_index(draw(distances, (80, 40), smoothing=smoothing).argmax(), (80, 40))
        assert 20 <= at[0] < 40 and 20 <= at[1] < 30
