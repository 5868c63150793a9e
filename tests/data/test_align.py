"""Alignment finds known motions, says so when it does not, and marks what the image does not show."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.data.align import AlignSettings, align, warp

Image = NDArray[np.uint8]


def search(**changes: Any) -> AlignSettings:
    base: dict[str, Any] = {"motion": "euclidean", "iterations": 80, "epsilon": 1e-6, "max_side": 512}
    return AlignSettings(**{**base, **changes})


def scene(height: int = 160, width: int = 200, seed: int = 0) -> Image:
    """Rectangles on a textured ground, (H, W, 3)."""
    generator = np.random.default_rng(seed)
    image = cv2.GaussianBlur(generator.normal(100, 60, (height, width)).astype(np.float32), (0, 0), 3)
    for _ in range(12):
        y, x = generator.integers(0, height - 30), generator.integers(0, width - 30)
        h, w = generator.integers(8, 30, 2)
        image[y : y + h, x : x + w] += generator.uniform(-60, 60)
    grey = np.clip(cv2.GaussianBlur(image, (0, 0), 1), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def moved(image: Image, degrees: float, dx: float, dy: float) -> tuple[Image, NDArray[np.float32]]:
    """The image after a motion, and the matrix that undoes it (reference to image coordinates)."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (dx, dy)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), matrix.astype(np.float32)


def displacement(a: NDArray[np.float32], b: NDArray[np.float32], shape: tuple[int, ...]) -> float:
    """Largest distance between two warps over the corners, pixels."""
    height, width = shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], dtype=np.float32).T
    return float(np.linalg.norm((a - b) @ corners, axis=0).max())


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 2), st.floats(-6, 6), st.floats(-6, 6))
def test_a_known_motion_is_found(degrees: float, dx: float, dy: float) -> None:
    reference = scene()
    image, truth = moved(reference, degrees, dx, dy)
    found = align(image, reference, search())
    assert found.aligned
    assert displacement(found.matrix, truth, image.shape) < 0.3
    inside = found.valid
    after = np.abs(found.image.astype(int) - reference)[inside].mean()
    assert after < 3.0
    assert found.correlation is not None
    assert found.correlation > 0.98


def test_a_large_shift_is_found_through_phase_correlation() -> None:
    reference = scene(seed=3)
    image, truth = moved(reference, 0.5, 31.0, -22.0)
    found = align(image, reference, search())
    assert found.aligned
    assert displacement(found.matrix, truth, image.shape) < 0.5


def test_brightness_and_contrast_do_not_matter() -> None:
    reference = scene(seed=1)
    image, truth = moved(reference, 1.0, 3.0, 2.0)
    image = (image * 0.6 + 50).astype(np.uint8)
    found = align(image, reference, search())
    assert displacement(found.matrix, truth, image.shape) < 0.3


def test_a_large_image_is_searched_small_and_warped_at_full_size() -> None:
    reference = cv2.resize(scene(seed=2), (800, 640), interpolation=cv2.INTER_CUBIC)
    image, truth = moved(reference, 1.0, 9.0, -14.0)
    found = align(image, reference, search(max_side=200))
    assert found.image.shape == reference.shape
    assert displacement(found.matrix, truth, image.shape) < 1.0


def test_the_same_image_stays_as_it_is() -> None:
    reference = scene()
    found = align(reference, reference, search())
    assert found.aligned
    assert found.valid.all()
    assert np.array_equal(found.image, reference)


def test_motion_models() -> None:
    reference = scene(seed=4)
    image, _ = moved(reference, 0.0, 4.0, 1.0)
    off = align(image, reference, search(motion="none"))
    assert not off.aligned
    assert np.array_equal(off.image, image)
    for motion in ("translation", "euclidean", "affine"):
        found = align(image, reference, search(motion=motion))
        assert found.matrix[:, 2] == pytest.approx([4.0, 1.0], abs=0.2)
    shift_only = align(moved(reference, 2.0, 0, 0)[0], reference, search(motion="translation")).matrix
    assert np.array_equal(shift_only[:, :2], np.eye(2, dtype=np.float32))


def test_a_failed_search_says_so_and_changes_nothing() -> None:
    reference = scene()
    flat = np.full_like(reference, 90)
    found = align(flat, reference, search())
    assert not found.aligned
    assert found.correlation is None
    assert found.valid.all()
    assert np.array_equal(found.image, flat)
    assert not align(reference, flat, search()).aligned


def test_what_the_image_does_not_show_is_marked() -> None:
    image = scene()
    matrix = np.array([[1, 0, 5], [0, 1, -3]], dtype=np.float32)
    warped, valid = warp(image, matrix)
    height, width = image.shape[:2]
    assert not valid[:, width - 5 :].any()
    assert not valid[:3].any()
    assert valid[3:, : width - 5].all()
    assert np.array_equal(warped[3:, : width - 5], image[: height - 3, 5:])


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"160, 200.*100, 100"):
        align(scene(), scene(100, 100), search())


def test_the_same_bits_with_any_number_of_threads() -> None:
    reference = scene(seed=5)
    image, _ = moved(reference, 1.3, -2.2, 4.1)
    before = cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            found.append(align(image, reference, search()))
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(f.matrix, found[0].matrix) for f in found)
    assert all(np.array_equal(f.image, found[0].image) for f in found)
