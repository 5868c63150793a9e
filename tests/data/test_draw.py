"""Shapes to pixels, against COCO's own code and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as official

from benchmark.core.drawings import ClassIds, Drawing, Shape
from benchmark.data.draw import checked_runs, draw, runs_of
from benchmark.data.masks import load_truth
from tests.pictures import save_sample

masks = st.integers(0, 2**20 - 1).map(lambda n: np.array([n >> i & 1 for i in range(20)], dtype=bool).reshape(4, 5))


@given(masks)
@settings(max_examples=200, deadline=None)
def test_run_lengths_are_those_of_coco_both_ways(mask: np.ndarray) -> None:
    runs = runs_of(mask)
    text = official.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert checked_runs(text, (4, 5)) == checked_runs(list(runs), (4, 5)) == runs
    drawn, ignored = draw(Drawing(shapes=(Shape(kind="runs", runs=runs),), size=(5, 4)), (4, 5))
    assert (drawn == mask).all() and ignored is None


@given(st.lists(st.floats(-15, 30, width=16), min_size=6, max_size=6))
@example([0.0, 0.0, -1.515625, 8.625, 7.625, -0.515625])
@settings(max_examples=200, deadline=None)
def test_a_triangle_is_what_coco_makes_of_it_on_a_larger_canvas(points: list[float]) -> None:
    shape = Shape(kind="polygon", points=tuple(points))
    drawn, _ = draw(Drawing(shapes=(shape,)), (12, 14))
    moved = [value + 20 for value in points]
    whole = official.decode(official.frPyObjects([moved], 60, 60)[0]).astype(bool)
    outline = np.array(moved).reshape(-1, 1, 2).round().astype(np.int32)
    edge = cv2.polylines(np.zeros((60, 60), dtype=np.uint8), [outline], True, 1, thickness=3).astype(bool)
    here = slice(20, 32), slice(20, 34)
    # Where a side is cut, COCO's code rounds its corners anew: pixels may differ at the edge, never within.
    assert edge[here][drawn != whole[here]].all()


def test_run_lengths_beyond_a_megapixel() -> None:
    mask = np.random.default_rng(0).random((1100, 1000)) > 0.5
    text = official.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert checked_runs(text, mask.shape) == runs_of(mask)


@pytest.mark.parametrize("counts", ["o", "_" * 40, "\x00", "é", 5, None, [1.5], [True] * 20, [21, -1], ["1"]])
def test_no_run_lengths_are_trusted(counts: object) -> None:
    with pytest.raises(ValueError, match="its counts"):
        checked_runs(counts, (4, 5))


def test_shares_other_sizes_and_what_is_ignored() -> None:
    half = Shape(kind="polygon", points=(0, 0, 0.5, 0, 0.5, 1, 0, 1))
    assert draw(Drawing(shapes=(half,), relative=True), (4, 6))[0].sum() == 12
    twice = Shape(kind="polygon", points=(0, 0, 6, 0, 6, 8, 0, 8), ignore=True)
    mask, ignored = draw(Drawing(shapes=(half, twice), size=(12, 8)), (4, 6))
    assert not mask.any() and ignored is not None and ignored[:, :3].all() and not ignored[:, 3:].any()


def test_what_is_drawn_decides_the_hash_and_its_place_does_not() -> None:
    one = Shape(kind="polygon", points=(0, 0, 1, 0, 1, 1))
    first = Drawing(shapes=(one,), where="a.json")
    assert first.sha256 == Drawing(shapes=(one,), where="b.json").sha256
    assert len({d.sha256 for d in (first, Drawing(shapes=(one, one)), Drawing(shapes=(one,), relative=True))}) == 3


def test_numbers_of_classes() -> None:
    assert ClassIds(defects=None, ignored=(255,)).chosen((0, 1, 3, 255)) == (1, 3)
    assert ClassIds(defects=(3, 9)).chosen((0, 1, 3, 255)) == (3,)


@pytest.mark.parametrize("relative", [True, False])
def test_a_part_of_an_image_gets_its_part_of_the_drawing(relative: bool, tmp_path: Path) -> None:
    corners = (2.0, 1.0, 15.0, 2.0, 12.0, 9.0)
    points = tuple(v / (10 if i % 2 else 20) for i, v in enumerate(corners)) if relative else corners
    edge = Shape(kind="polygon", points=(0, 0, 1, 0, 1, 1, 0, 1) if relative else (8, 0, 20, 0, 20, 5), ignore=True)
    drawing = Drawing(shapes=(Shape(kind="polygon", points=points), edge), relative=relative)
    whole = replace(
        save_sample(tmp_path / "b.png", np.zeros((10, 20), dtype=np.uint8), defective=True), drawing=drawing
    )
    part = replace(whole, reading=replace(whole.reading, crop=(3, 4, 6, 11)))
    all_of_it, here = load_truth(whole, shape=(10, 20)), load_truth(part, shape=(6, 11))
    assert all_of_it.ignore is not None and here.ignore is not None and here.mask.any()
    assert (here.mask == all_of_it.mask[3:9, 4:15]).all() and (here.ignore == all_of_it.ignore[3:9, 4:15]).all()
