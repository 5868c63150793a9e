"""The defects of the SAT images: void, crack and delamination, each with its exact mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.data.sat_maths import F32, Stream, exp, rotation, smooth_field
from benchmark.data.sat_scene import FRAME, Grid, Item, Part, distance

Kind = Literal["void", "crack", "delamination"]
KINDS: tuple[Kind, ...] = ("void", "crack", "delamination")
Factor = Annotated[float, Field(gt=0, le=20)]

MIN_AREA, MAX_AREA = 0.0001, 0.03
"""Bounds of a defect's share of the image area."""

_MAX_AREA: dict[Kind, float] = {"void": MAX_AREA, "crack": 0.006, "delamination": MAX_AREA}
"""A longer or wider crack would be a broken package."""

_MEDIAN_AREA: dict[Kind, float] = {"void": 0.0014, "crack": 0.0016, "delamination": 0.0050}
"""Share of the image where the factor on it is 1."""
_GREY: dict[Kind, tuple[float, float]] = {"void": (20.0, 42.0), "crack": (34.0, 58.0), "delamination": (16.0, 32.0)}
"""Range of the echo's change in grey levels at contrast 1."""
_MIN_PIXELS = 6


class Areas(Settings):
    """Factor on the median area of each type of defect; its least and largest areas stay."""

    void: Factor
    crack: Factor
    delamination: Factor


@dataclass(frozen=True, kw_only=True)
class DefectSettings:
    """How visible and how large the defects are."""

    contrast: float
    """Factor on their grey levels."""
    area: Areas
    area_spread: float
    """Deviation of the logarithm of the area."""


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One defect in the pixels of one scan."""

    mask: NDArray[np.bool_]
    """(H, W), True on the defect."""
    change: F32
    """(H, W) grey levels that it adds (bright) or takes away (dark)."""

    def apply(self, image: F32) -> F32:
        """Add the defect to an image, (H, W) float32."""
        return image + self.change


def make_defect(stream: Stream, kind: Kind, item: Item, grid: Grid, settings: DefectSettings) -> Defect:
    """Draw one defect into a package.

    The area is log-normal within [MIN_AREA, MAX_AREA]; the shape is grown until it has just that many pixels, so
    it is never empty. Air reflects nearly all sound: voids and delaminations are bright, a crack is a dark line
    with a bright flank, both of which belong to its mask.

    Args:
        stream: source of randomness.
        kind: which defect.
        item: the package, whose die attach and underfill carry the defects.
        grid: where each pixel lies.
        settings: how visible and how large it is.
    """
    median = _MEDIAN_AREA[kind] * getattr(settings.area, kind)
    share = min(_MAX_AREA[kind], max(MIN_AREA, median * exp(settings.area_spread * stream.normal())))
    n = max(_MIN_PIXELS, int(share * grid.x.size + 0.5))
    grey = settings.contrast * stream.uniform(*_GREY[kind])
    field, allowed, softness = _FIELDS[kind](stream, item, grid, share)
    mask, level = _grow(field, allowed, n)
    inside = np.float32(level) - field
    soft = np.clip(np.float32(0.5) + inside * np.float32(1.0 / softness), np.float32(0.0), np.float32(1.0))
    change = soft * np.float32(grey) * (mask if kind != "void" else allowed)
    if kind == "crack":
        change = -change
        change[:-1] += np.where(mask[:-1] & ~mask[1:], np.float32(1.3 * grey), np.float32(0.0))
    return Defect(mask=mask, change=change.astype(np.float32))


def _grow(field: F32, allowed: NDArray[np.bool_], n: int) -> tuple[NDArray[np.bool_], float]:
    """The n pixels of least field value among the allowed ones, and the largest value among them."""
    values = field[allowed]
    n = min(n, values.size)
    level = float(np.partition(values, n - 1)[n - 1])
    return allowed & (field <= np.float32(level)), level


def _void(stream: Stream, item: Item, grid: Grid, share: float) -> tuple[F32, NDArray[np.bool_], float]:
    """One to four near-elliptic bubbles in the solder or the underfill; soft edges."""
    home = item.attach if stream.uniform(0.0, 1.0) < 0.7 else item.underfill
    allowed = distance(grid, home) < np.float32(-1.0)
    field = np.full(grid.x.shape, 1e9, dtype=np.float32)
    for i in range(1 + stream.pick(4) if share > 0.0006 else 1):
        x = home.x + stream.spread(0.5 * home.w - 6.0)
        y = home.y + stream.spread(0.5 * home.h - 6.0)
        size = 1.0 if i == 0 else stream.uniform(0.3, 0.9)
        ratio = stream.uniform(0.65, 1.0)
        blob = Part(x=x, y=y, w=1.0, h=1.0, angle=stream.spread(60.0))
        u, v = grid.local(blob)
        radius = np.sqrt(u * u + v * v * np.float32(1.0 / (ratio * ratio)))
        field = np.minimum(field, radius * np.float32(1.0 / size))
    return field + np.float32(0.3) * smooth_field(stream, grid.x.shape, 40), allowed, 1.8


def _crack(stream: Stream, item: Item, grid: Grid, share: float) -> tuple[F32, NDArray[np.bool_], float]:
    """A polyline from the border of the die inwards or outwards; its width follows from area and length."""
    home = (item.die, item.flip)[stream.pick(4) == 0]
    x, y, (cos, sin) = _start(stream, home)
    width = stream.uniform(1.8, 3.6)
    length = min(110.0, max(6.0, share * FRAME * FRAME / width))
    steps = 3 + int(length / 14.0)
    field = np.full(grid.x.shape, 1e9, dtype=np.float32)
    for _ in range(steps):
        c, s = rotation(stream.spread(38.0))
        cos, sin = cos * c - sin * s, sin * c + cos * s
        dx, dy = cos * length / steps, sin * length / steps
        field = np.minimum(field, _segment(grid, x, y, dx, dy))
        x, y = x + dx, y + dy
    return field, distance(grid, item.board) < np.float32(-3.0), 1.2


def _segment(grid: Grid, x: float, y: float, dx: float, dy: float) -> F32:
    px, py = grid.x - np.float32(x), grid.y - np.float32(y)
    along = (px * np.float32(dx) + py * np.float32(dy)) * np.float32(1.0 / (dx * dx + dy * dy))
    along = np.clip(along, np.float32(0.0), np.float32(1.0))
    ex, ey = px - along * np.float32(dx), py - along * np.float32(dy)
    distance: F32 = np.sqrt(ex * ex + ey * ey)
    return distance


def _start(stream: Stream, home: Part) -> tuple[float, float, tuple[float, float]]:
    """A point on a part's border, often a corner, and the direction to its inside (sometimes its outside)."""
    corner = stream.uniform(0.0, 1.0) < 0.5
    sx, sy = (stream.pick(2) * 2 - 1.0), (stream.pick(2) * 2 - 1.0)
    if corner:
        x, y, cos, sin = home.x + sx * 0.5 * home.w, home.y + sy * 0.5 * home.h, -sx * 0.6, -sy * 0.8
    elif stream.pick(2):
        x, y, cos, sin = home.x + sx * 0.5 * home.w, home.y + stream.spread(0.4 * home.h), -sx, 0.0
    else:
        x, y, cos, sin = home.x + stream.spread(0.4 * home.w), home.y + sy * 0.5 * home.h, 0.0, -sy
    if stream.uniform(0.0, 1.0) < 0.2:
        cos, sin = -cos, -sin
    return x, y, (cos, sin)


def _delamination(stream: Stream, item: Item, grid: Grid, share: float) -> tuple[F32, NDArray[np.bool_], float]:
    """An irregular, nearly flat region that grows from the edge or corner of a die."""
    home = (item.die, item.flip)[stream.pick(3) == 0]
    x, y, (cos, sin) = _start(stream, home)
    allowed = distance(grid, home) < np.float32(1.0)
    px, py = grid.x - np.float32(x), grid.y - np.float32(y)
    along = px * np.float32(cos) + py * np.float32(sin)
    across = py * np.float32(cos) - px * np.float32(sin)
    stretch = np.float32(stream.uniform(1.0, 1.8))
    radius = np.sqrt(along * along * stretch + across * across * (np.float32(1.0) / stretch))
    reach = 0.5 * exp(0.5 * stream.spread(0.5)) * math.sqrt(share * FRAME * FRAME)
    ragged = smooth_field(stream, radius.shape, 16) + np.float32(0.5) * smooth_field(stream, radius.shape, 44)
    return radius + np.float32(0.35 * reach) * ragged, allowed, 1.5


_FIELDS: dict[Kind, Callable[[Stream, Item, Grid, float], tuple[F32, NDArray[np.bool_], float]]] = {
    "void": _void,
    "crack": _crack,
    "delamination": _delamination,
}
