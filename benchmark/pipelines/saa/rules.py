"""Symbolic rules: what a region must be like to stay a candidate (AnomalyVLM, section III-F, prompt 2).

The paper filters by area and names location and colour as the next step; the other measures here are that step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.core.settings import Settings

Measure = Literal["area", "aspect_ratio", "x", "y", "inside_object", "grey", "red", "green", "blue", "colour_distance"]
NEED_COLOUR: frozenset[Measure] = frozenset({"grey", "red", "green", "blue", "colour_distance"})
_GREY = np.array([0.299, 0.587, 0.114])
"""Luma of red, green and blue (ITU-R BT.601), as OpenCV and Pillow convert to grey."""


class Rule(Settings):
    """One rule: a measure of a region and the range, ends included, that it must lie in.

    ``area``: pixels of the region / pixels of the object. ``aspect_ratio``: long side / short side of the
    bounding box, >= 1. ``x``, ``y``: centre of the bounding box within the object's, 0 left or top, 1 right or
    bottom. ``inside_object``: share of the region's pixels inside the object. ``grey``, ``red``, ``green``,
    ``blue``: mean of the region minus mean of the object, -255..255. ``colour_distance``: Euclidean distance of the
    two mean colours, 0..442.
    """

    measure: Measure
    min: float | None = None
    """None: no lower end."""
    max: float | None = None
    """None: no upper end."""

    @model_validator(mode="after")
    def _has_a_range(self) -> Rule:
        if self.min is None and self.max is None:
            raise ValueError(f"rule {self.measure!r} needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"rule {self.measure!r}: min {self.min} is above max {self.max}")
        return self


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is measured of regions, or of the one object that they are compared with."""

    pixels: NDArray[np.int64]
    """(N,) size of each mask."""
    boxes: NDArray[np.float64]
    """(N, 4) bounding box x0, y0, x1, y1 in pixels, ends exclusive; NaN where the mask is empty."""
    colours: NDArray[np.float64]
    """(N, 3) mean red, green, blue, 0..255; NaN where the mask is empty or no colour was asked for."""
    inside: NDArray[np.float64]
    """(N,) share of the mask inside the object; NaN where it is empty."""


def measure(masks: NDArray[np.bool_], inside: NDArray[np.bool_], image: NDArray[np.uint8] | None) -> Facts:
    """Measure masks.

    Args:
        masks: (N, H, W).
        inside: (H, W) the object.
        image: (H, W, 3) RGB; None: colours are NaN.
    """
    number = len(masks)
    boxes, colours, shares = np.full((number, 4), np.nan), np.full((number, 3), np.nan), np.full(number, np.nan)
    pixels = np.zeros(number, dtype=np.int64)
    for i, mask in enumerate(masks):
        pixels[i] = np.count_nonzero(mask)
        if not pixels[i]:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        shares[i] = np.count_nonzero(mask & inside) / pixels[i]
        if image is not None:
            colours[i] = image[mask].mean(axis=0, dtype=np.float64)
    return Facts(pixels=pixels, boxes=boxes, colours=colours, inside=shares)


def joined(parts: Sequence[Facts]) -> Facts:
    """Join facts of several lots of regions into one."""
    return Facts(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Facts)})


def kept(rules: Iterable[Rule], regions: Facts, whole: Facts) -> NDArray[np.bool_]:
    """Return which regions obey every rule, (N,); an empty region obeys none.

    Args:
        rules: all must hold.
        regions: facts of N regions.
        whole: facts of one object.
    """
    result = np.ones(len(regions.pixels), dtype=bool)
    for rule in rules:
        value = _MEASURES[rule.measure](regions, whole)
        lowest, highest = (-np.inf if rule.min is None else rule.min), (np.inf if rule.max is None else rule.max)
        result &= (value >= lowest) & (value <= highest)
    return result


def _aspect_ratio(regions: Facts, _: Facts) -> NDArray[np.float64]:
    sides = regions.boxes[:, 2:] - regions.boxes[:, :2]
    return np.asarray(sides.max(axis=1) / sides.min(axis=1))


def _position(axis: int) -> Callable[[Facts, Facts], NDArray[np.float64]]:
    def value(regions: Facts, whole: Facts) -> NDArray[np.float64]:
        centre = (regions.boxes[:, axis] + regions.boxes[:, axis + 2]) / 2
        low, high = whole.boxes[0, axis], whole.boxes[0, axis + 2]
        return np.asarray((centre - low) / (high - low))

    return value


def _channel(weights: NDArray[np.float64]) -> Callable[[Facts, Facts], NDArray[np.float64]]:
    return lambda regions, whole: np.asarray((regions.colours - whole.colours) @ weights)


_MEASURES: Mapping[Measure, Callable[[Facts, Facts], NDArray[np.float64]]] = {
    "area": lambda regions, whole: np.where(regions.pixels > 0, regions.pixels / whole.pixels, np.nan),
    "aspect_ratio": _aspect_ratio,
    "x": _position(0),
    "y": _position(1),
    "inside_object": lambda regions, _: regions.inside,
    "grey": _channel(_GREY),
    "red": _channel(np.array([1.0, 0, 0])),
    "green": _channel(np.array([0, 1.0, 0])),
    "blue": _channel(np.array([0, 0, 1.0])),
    "colour_distance": lambda regions, whole: np.linalg.norm(regions.colours - whole.colours, axis=1),
}
