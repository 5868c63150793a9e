"""From shapes to pixels: what polygons, lines and run lengths cover.

A polygon covers the pixels that COCO's own code gives it (pycocotools, ``rleFrPoly``), after it was cut at the image's
border; points far outside would cost that code as many steps as there are pixels on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.drawings import Drawing, Shape

_FIRST, _MORE, _VALUE, _SIGN = 48, 0x20, 0x1F, 0x10
"""COCO's compressed run lengths: characters from 48 on hold five bits each, a flag for more, a sign."""
_LONGEST = 7
"""Characters that a run of 32 bits may take."""


def draw(drawing: Drawing, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Return where a drawing is defect, and where it is to be ignored.

    Args:
        drawing: one of another size is stretched.
        shape: (H, W) of the image.

    Returns:
        (H, W) bool, and (H, W) bool without the defect's pixels, or None where nothing is to be ignored.
    """
    mask = np.zeros(shape, dtype=bool)
    ignored = np.zeros(shape, dtype=bool)
    for one in drawing.shapes:
        target = ignored if one.ignore else mask
        target |= _pixels(one, (1, 1) if drawing.relative else drawing.size or (shape[1], shape[0]), shape)
    ignored &= ~mask
    return mask, ignored if ignored.any() else None


def overhang(drawing: Drawing, one: Shape, image: tuple[int, int]) -> Literal["none", "partly", "wholly"]:
    """Say how much of a shape lies outside its image.

    Args:
        drawing: that the shape is of.
        one: the shape.
        image: (width, height) of the image.
    """
    if one.kind == "runs":
        return "none"
    width, height = (1, 1) if drawing.relative else drawing.size or image
    xs, ys = one.points[::2], one.points[1::2]
    reach = one.width / 2
    if max(xs) + reach <= 0 or max(ys) + reach <= 0 or min(xs) - reach >= width or min(ys) - reach >= height:
        return "wholly"
    inside = min(xs) >= 0 and min(ys) >= 0 and max(xs) <= width and max(ys) <= height
    return "none" if inside else "partly"


def _pixels(shape: Shape, size: tuple[int, int], target: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) bool of one shape, drawn on (width, height) and stretched to ``target``."""
    height, width = target
    if shape.kind == "runs":
        mask = _from_runs(shape.runs, (size[1], size[0]))
        if mask.shape != target:
            import cv2

            resized = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            mask = resized.astype(bool)
        return mask
    scale = np.array([width, height]) / np.array(size)
    points = np.array(shape.points, dtype=np.float64).reshape(-1, 2) * scale
    if shape.kind == "polygon":
        return _polygon(points, target)
    return _line(points, shape.width / 2, target)


def _line(points: NDArray[np.float64], reach: float, target: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose middle is no farther than ``reach`` from a line through points, or from a single one."""
    mask = np.zeros(target, dtype=bool)
    for start, end in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        lowest = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
        highest = np.minimum(np.ceil(np.maximum(start, end) + reach), target[::-1]).astype(int)
        if (lowest >= highest).any():
            continue
        xs = np.arange(lowest[0], highest[0]) + 0.5 - start[0]
        ys = np.arange(lowest[1], highest[1])[:, None] + 0.5 - start[1]
        along = end - start
        length = float(along @ along)
        share = np.clip((xs * along[0] + ys * along[1]) / length, 0, 1) if length else np.zeros(1)
        near = (xs - share * along[0]) ** 2 + (ys - share * along[1]) ** 2 <= reach**2
        mask[lowest[1] : highest[1], lowest[0] : highest[0]] |= near
    return mask


def _polygon(points: NDArray[np.float64], target: tuple[int, int]) -> NDArray[np.bool_]:
    from pycocotools import mask as coco

    height, width = target
    inside = _clipped(points, (width, height))
    if len(inside) < 3:
        return np.zeros(target, dtype=bool)
    codes = coco.frPyObjects([inside.ravel().tolist()], height, width)
    covered: NDArray[np.bool_] = coco.decode(codes[0]).astype(bool)
    return covered


def _clipped(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Cut a polygon at an image's border, side by side: (N, 2) x, y (Sutherland and Hodgman, CACM 1974)."""
    for axis in (0, 1):
        for limit, sign in ((0.0, 1.0), (float(size[axis]), -1.0)):
            distance = sign * (points[:, axis] - limit)
            if (distance >= 0).all():
                continue
            kept: list[NDArray[np.float64]] = []
            for at in range(len(points)):
                here, there = distance[at - 1], distance[at]
                if (here < 0) != (there < 0):
                    kept.append(points[at - 1] + (points[at] - points[at - 1]) * (here / (here - there)))
                if there >= 0:
                    kept.append(points[at])
            points = np.array(kept).reshape(-1, 2)
    return points


def _from_runs(runs: Sequence[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    values = np.arange(len(runs)) % 2 == 1
    whole: NDArray[np.bool_] = np.repeat(values, runs).reshape(shape[::-1]).T
    return whole


def runs_of(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the run lengths of a mask, (H, W) bool, column by column, the first one of zeros."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    lengths = np.diff(starts).tolist()
    return tuple([0, *lengths] if flat.size and flat[0] else lengths)


def checked_runs(counts: object, size: tuple[int, int]) -> tuple[int, ...]:
    """Read the ``counts`` of a COCO run-length code, a list of numbers or the compressed text.

    Nothing is trusted: pycocotools reads past the end of a text that is cut off.

    Args:
        counts: as it stands in a JSON file.
        size: (height, width).

    Raises:
        ValueError: it is neither, or does not add up to the size's pixels.
    """
    if isinstance(counts, str):
        runs = _decompressed(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        runs = counts
    else:
        raise ValueError("its counts are neither text nor a list of whole numbers")
    total = size[0] * size[1]
    if any(not 0 <= run <= total for run in runs) or sum(runs) != total:
        raise ValueError(f"its counts do not add up to {size[0]} x {size[1]} pixels")
    return tuple(runs)


def _decompressed(text: str) -> list[int]:
    """Undo COCO's compression: each run less the one before the last, in groups of five bits, lowest first."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 2 * _MORE or shift >= 5 * _LONGEST:
            raise ValueError("its counts are no compressed run lengths")
        value |= (code & _VALUE) << shift
        shift += 5
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its counts are cut off")
    return runs
