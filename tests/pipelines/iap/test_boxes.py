"""Boxes: the strict size rule, suppression in pixels, and an object that is not found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pipelines.iap.boxes import clamped, object_share, shares, small_enough, suppressed
from benchmark.pipelines.saa.scoring import corners


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def test_a_box_of_exactly_the_limit_is_dropped() -> None:
    whole = np.float32(0.5)
    limit = whole * np.float32(0.8)
    areas = np.array([np.nextafter(limit, np.float32(0)), limit, np.nextafter(limit, np.float32(1))], dtype=np.float32)
    assert small_enough(areas, object_area=whole, factor=0.8).tolist() == [True, False, False]


@given(st.floats(0.0078125, 1, width=32), st.floats(0.125, 2, width=32))
def test_the_object_itself_never_passes_a_factor_up_to_one(area: float, factor: float) -> None:
    areas = np.array([area], dtype=np.float32)
    passes = bool(small_enough(areas, object_area=np.float32(area), factor=factor)[0])
    assert passes == (np.float32(factor) * np.float32(area) > np.float32(area))
    assert factor > 1 or not passes


def test_suppression_keeps_the_stronger_of_two_boxes_whatever_caption_found_them() -> None:
    found = boxes((0.3, 0.3, 0.2, 0.2), (0.31, 0.3, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))
    scores = np.array([0.3, 0.4, 0.2, 0.1], dtype=np.float32)
    assert suppressed(found, scores, size=(40, 80), threshold=0.1, iou=0.5).tolist() == [1, 2]  # 0.1 is not above 0.1
    assert suppressed(found, scores, size=(40, 80), threshold=0.9, iou=0.5).tolist() == []


def test_overlaps_beyond_the_edge_count() -> None:
    """Inside the image both boxes are the same strip; as they are, they overlap by little."""
    found = boxes((0.0, 0.5, 0.2, 0.4), (-0.4, 0.5, 1.0, 0.4))
    scores = np.array([0.5, 0.4], dtype=np.float32)
    assert suppressed(found, scores, size=(100, 100), threshold=0.1, iou=0.5).tolist() == [0, 1]


def test_areas_are_shares_of_the_image() -> None:
    np.testing.assert_allclose(shares(boxes((0.5, 0.5, 0.5, 0.4), (0, 0, 1, 1)), (33, 77)), [0.2, 1.0], rtol=1e-6)


@pytest.mark.parametrize(("which", "area"), [("best_box", 0.01), ("largest_box", 0.25)])
def test_the_object_is_its_best_or_its_largest_box(which: str, area: float) -> None:
    found, scores = boxes((0.2, 0.2, 0.5, 0.5), (0.8, 0.8, 0.1, 0.1)), np.array([0.3, 0.6], dtype=np.float32)
    got = object_share(found, scores, size=(50, 60), which=which)  # type: ignore[arg-type]
    assert got == pytest.approx(area, rel=1e-5)


def test_an_object_without_box_has_no_size() -> None:
    assert object_share(boxes(), np.zeros(0, np.float32), size=(5, 5), which="best_box") is None


def test_corners_are_moved_into_the_image_by_width_and_height() -> None:
    edges = clamped(corners(boxes((0.5, 0.5, 3.0, 3.0)), (20, 40)), (20, 40))
    assert edges.tolist() == [[0, 0, 40, 20]]
