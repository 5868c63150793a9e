"""The electronic package of the SAT images: its layers, drawn in a frame of 256 × 256 design units.

Grey levels follow pulse-echo SAT: strong echoes are bright, edges show a dark diffraction rim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmark.data.sat_maths import F32, Stream, rotation, smooth_field

FRAME = 256.0
"""Side of the design frame in design units; one unit is one pixel at the default size."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A rectangular component: centre, width and height in design units, angle in degrees."""

    x: float
    y: float
    w: float
    h: float
    angle: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where each pixel of a scan (or of a window of it) lies in the design frame."""

    x: F32
    y: F32
    scale: float
    """Pixels per design unit."""
    reach: float
    """No pixel lies further than this from its undisturbed place, design units."""

    def window(self, part: Part, margin: float = 8.0) -> tuple[slice, slice]:
        """Rows and columns that hold every pixel within ``margin`` of a part."""
        half = 0.5 * max(part.w, part.h) + margin + self.reach

        def span(centre: float, n: int) -> slice:
            return slice(
                max(0, int((centre - half) * self.scale)), min(n, max(0, int((centre + half) * self.scale) + 1))
            )

        return span(part.y, self.x.shape[0]), span(part.x, self.x.shape[1])

    def at(self, view: tuple[slice, slice]) -> Grid:
        """The grid of a window."""
        return replace(self, x=self.x[view], y=self.y[view])

    def local(self, part: Part) -> tuple[F32, F32]:
        """Coordinates in the frame of a part: (u, v), zero at its centre."""
        cos, sin = rotation(part.angle)
        dx, dy = self.x - np.float32(part.x), self.y - np.float32(part.y)
        if part.angle == 0.0:
            return dx, dy
        c, s = np.float32(cos), np.float32(sin)
        return dx * c + dy * s, dy * c - dx * s


@dataclass(frozen=True, kw_only=True)
class Item:
    """What differs between two good packages: where the parts sit and how their layers answer."""

    board: Part
    paddle: Part
    attach: Part
    die: Part
    underfill: Part
    flip: Part
    module: Part
    chips: tuple[Part, ...]
    gate: tuple[float, ...]
    """Grey offset of the layers attach, die, underfill, flip, paddle, board: where the gate lies in depth."""
    bump_grey: F32
    bump_radius: F32
    mottle: F32
    """(H, W) unit texture of the solder and the underfill."""
    edge: F32
    """(H, W) unit waviness of the solder's and the underfill's border."""


_BOARD = Part(x=128, y=128, w=238, h=230)
_PADDLE = Part(x=98, y=112, w=134, h=128)
_ATTACH = Part(x=98, y=112, w=116, h=104)
_DIE = Part(x=98, y=112, w=101, h=88)
_UNDERFILL = Part(x=199, y=76, w=60, h=60)
_FLIP = Part(x=199, y=76, w=53, h=53)
_MODULE = Part(x=199, y=140, w=50, h=46)
_CHIPS = tuple(Part(x=x, y=y, w=15, h=8.5) for y in (184.0, 200.0) for x in (179.0, 199.0, 219.0))
_BUMPS = 8
_BUMP_PITCH = 6.2


def make_item(stream: Stream, *, shape: tuple[int, int], tolerance: float, gate: float, texture: float) -> Item:
    """Draw the manufacturing variation of one package.

    Args:
        stream: source of randomness.
        shape: (H, W) of the image in pixels.
        tolerance: deviation of a part's position in design units; size and angle follow it.
        gate: deviation of a layer's grey offset.
        texture: deviation of the solder's mottling in grey levels.
    """

    def moved(part: Part, share: float) -> Part:
        t = tolerance * share
        reach = 0.5 * (part.w + part.h)
        return Part(
            x=part.x + t * stream.normal(),
            y=part.y + t * stream.normal(),
            w=part.w + 0.5 * t * stream.normal(),
            h=part.h + 0.5 * t * stream.normal(),
            angle=part.angle + 28.0 * t / reach * stream.normal(),
        )

    paddle, die, flip = moved(_PADDLE, 0.5), moved(_DIE, 1.0), moved(_FLIP, 0.9)
    adhesive = replace(_ATTACH, x=0.5 * (die.x + _ATTACH.x), y=0.5 * (die.y + _ATTACH.y), angle=die.angle)
    fillet = replace(_UNDERFILL, x=flip.x, y=flip.y, angle=flip.angle)
    mottle = smooth_field(stream, shape, 11) + np.float32(0.9) * smooth_field(stream, shape, 34)
    return Item(
        board=_BOARD,
        paddle=paddle,
        attach=moved(adhesive, 0.8),
        die=die,
        underfill=moved(fillet, 0.6),
        flip=flip,
        module=moved(_MODULE, 0.8),
        chips=tuple(moved(chip, 0.6) for chip in _CHIPS),
        gate=tuple(gate * stream.normal() for _ in range(6)),
        bump_grey=np.float32(1.2 * gate) * stream.normals(_BUMPS * _BUMPS),
        bump_radius=np.float32(0.11 * tolerance) * stream.normals(_BUMPS * _BUMPS),
        mottle=np.float32(texture * 0.75) * mottle,
        edge=np.float32(0.9 * tolerance) * smooth_field(stream, shape, 20),
    )


def draw(item: Item, grid: Grid, defect: Callable[[F32], F32] | None = None) -> F32:
    """Draw one package as an ideal scan sees it, float32 (H, W), grey levels about 0 to 255.

    Args:
        item: the package.
        grid: where each pixel lies.
        defect: adds a defect to the image; called after the inner layers and before the surface parts, so
            that pads and chips stay on top as they do in a scan.
    """
    image = np.full(grid.x.shape, 24.0, dtype=np.float32)
    _draw_board(image, item, grid)
    _draw_die(image, item, grid)
    _draw_flip(image, item, grid)
    if defect is not None:
        image = defect(image)
    _draw_surface(image, item, grid)
    return image


def distance(grid: Grid, part: Part) -> F32:
    """Distance to the border of a part in design units, negative inside (Chebyshev metric), float32 (H, W)."""
    u, v = grid.local(part)
    return np.maximum(np.abs(u) - np.float32(0.5 * part.w), np.abs(v) - np.float32(0.5 * part.h))


def _cover(d: F32, scale: float) -> F32:
    covered: F32 = np.clip(np.float32(0.5) - d * np.float32(scale), np.float32(0.0), np.float32(1.0))
    return covered


def _fill(image: F32, d: F32, grey: float | F32, scale: float) -> None:
    image += _cover(d, scale) * (np.float32(grey) - image if isinstance(grey, float) else grey - image)


def _band(image: F32, d: F32, at: float, width: float, amount: float) -> None:
    """Add a soft line of ``amount`` grey levels along the contour d = at."""
    ramp = np.float32(1.0) - np.abs(d - np.float32(at)) * np.float32(1.0 / width)
    image += np.maximum(ramp, np.float32(0.0)) * np.float32(amount)


def _teeth(position: F32, pitch: float) -> F32:
    """Signed distance to the nearest multiple of ``pitch`` (offset by half a pitch)."""
    turns = position * np.float32(1.0 / pitch)
    distance: F32 = (turns - np.floor(turns) - np.float32(0.5)) * np.float32(pitch)
    return distance


def _draw_board(image: F32, item: Item, grid: Grid) -> None:
    s = grid.scale
    d = distance(grid, item.board)
    weave = np.abs(_teeth(grid.x, 7.0)) - np.abs(_teeth(grid.y, 7.0))
    _fill(image, d, np.float32(74.0 + item.gate[5]) + np.float32(2.2) * weave, s)
    _band(image, d, 0.0, 2.2, -28.0)
    _band(image, d, -4.5, 2.0, 16.0)
    for i in range(17):
        y = 40.0 + 9.0 * i
        _trace(image, grid, 19.0, y, 33.0, 112.0 + (y - 112.0) * 0.8)
        _trace(image, grid, 237.0, y, 227.0, 112.0 + (y - 112.0) * 0.9)
    for i in range(12):
        x = 38.0 + 11.0 * i
        _trace(image, grid, x, 22.0, 98.0 + (x - 98.0) * 0.8, 50.0)
    d = distance(grid, item.paddle)
    _fill(image, d, 100.0 + item.gate[4], s)
    _band(image, d, 0.0, 2.5, -22.0)
    _band(image, d, -3.5, 2.0, 12.0)


def _trace(image: F32, grid: Grid, x0: float, y0: float, x1: float, y1: float) -> None:
    """A copper trace, 2.4 units wide, from one point to another."""
    middle = Part(x=0.5 * (x0 + x1), y=0.5 * (y0 + y1), w=abs(x1 - x0), h=abs(y1 - y0))
    window = grid.window(middle, 3.0)
    near, view = grid.at(window), image[window]
    dx, dy = x1 - x0, y1 - y0
    inverse = np.float32(1.0 / (dx * dx + dy * dy))
    px, py = near.x - np.float32(x0), near.y - np.float32(y0)
    along = np.clip((px * np.float32(dx) + py * np.float32(dy)) * inverse, np.float32(0.0), np.float32(1.0))
    ex, ey = px - along * np.float32(dx), py - along * np.float32(dy)
    _fill(view, np.sqrt(ex * ex + ey * ey) - np.float32(1.2), 126.0, near.scale)


def _draw_die(image: F32, item: Item, grid: Grid) -> None:
    s = grid.scale
    d = distance(grid, item.attach) + item.edge
    _fill(image, d, np.float32(128.0 + item.gate[0]) + item.mottle, s)
    _band(image, d, 0.0, 2.0, 18.0)
    u, v = grid.local(item.die)
    w, h = 0.5 * item.die.w, 0.5 * item.die.h
    d = np.maximum(np.abs(u) - np.float32(w), np.abs(v) - np.float32(h))
    # The solder is seen through the silicon, so its mottling goes on under the die.
    _fill(image, d, np.float32(150.0 + item.gate[1]) + item.mottle, s)
    _band(image, d, 0.0, 3.0, -58.0)
    _band(image, d, -4.0, 1.6, 20.0)
    active = d + np.float32(13.0)
    _fill(image, active, np.float32(140.0 + item.gate[1]) + item.mottle, s)
    _band(image, active, 0.0, 1.5, 22.0)
    core = np.maximum(np.abs(u + np.float32(14.0)) - np.float32(18.0), np.abs(v + np.float32(4.0)) - np.float32(15.0))
    _fill(image, core, np.float32(160.0 + item.gate[1]) + item.mottle, s)
    _band(image, core, 0.0, 1.4, -16.0)
    block = np.maximum(np.abs(u - np.float32(24.0)) - np.float32(10.0), np.abs(v) - np.float32(24.0))
    lines = np.abs(_teeth(v, 6.0)) - np.float32(1.1)
    _fill(image, np.maximum(block, lines), np.float32(126.0 + item.gate[1]) + item.mottle, s)


def _draw_flip(image: F32, item: Item, grid: Grid) -> None:
    s = grid.scale
    d = distance(grid, item.underfill) + item.edge
    _fill(image, d, np.float32(112.0 + item.gate[2]) + item.mottle, s)
    _band(image, d, 0.0, 2.0, 14.0)
    window = grid.window(item.flip)
    near, view = grid.at(window), image[window]
    u, v = near.local(item.flip)
    d = np.maximum(np.abs(u) - np.float32(0.5 * item.flip.w), np.abs(v) - np.float32(0.5 * item.flip.h))
    _fill(view, d, np.float32(126.0 + item.gate[3]) + item.mottle[window], s)
    _band(view, d, 0.0, 2.5, -44.0)
    _band(view, d, -3.0, 1.4, 14.0)
    half = np.float32(0.5 * _BUMPS * _BUMP_PITCH)
    column = np.clip(np.floor((u + half) * np.float32(1.0 / _BUMP_PITCH)), 0, _BUMPS - 1).astype(np.intp)
    row = np.clip(np.floor((v + half) * np.float32(1.0 / _BUMP_PITCH)), 0, _BUMPS - 1).astype(np.intp)
    cell = row * _BUMPS + column
    du, dv = _teeth(u + half, _BUMP_PITCH), _teeth(v + half, _BUMP_PITCH)
    radius = np.sqrt(du * du + dv * dv) - np.float32(2.0) - item.bump_radius[cell]
    outside = np.maximum(np.abs(u), np.abs(v)) - half
    _fill(view, np.maximum(radius, outside), np.float32(74.0 + item.gate[3]) + item.bump_grey[cell], s)


def _draw_surface(image: F32, item: Item, grid: Grid) -> None:
    s = grid.scale
    for side in (-1.0, 1.0):
        pads = np.maximum(
            np.abs(grid.x - np.float32(128.0 + side * 109.0)) - np.float32(4.5),
            np.abs(_teeth(grid.y - np.float32(35.5), 9.0)) - np.float32(2.8),
        )
        inside = np.abs(grid.y - np.float32(112.0)) - np.float32(76.0)
        _fill(image, np.maximum(pads, inside), 168.0, s)
    u, v = grid.local(item.die)
    w, h = 0.5 * item.die.w, 0.5 * item.die.h
    ring = np.maximum(
        np.abs(np.abs(v) - np.float32(h - 8.0)) - np.float32(1.9), np.abs(_teeth(u, 8.0)) - np.float32(1.9)
    )
    ring = np.maximum(ring, np.abs(u) - np.float32(w - 6.0))
    _fill(image, ring, 184.0 + item.gate[1], s)
    window = grid.window(item.module)
    view, d = image[window], distance(grid.at(window), item.module)
    for step, grey in ((0.0, 96.0), (5.0, 132.0), (9.0, 108.0), (14.0, 146.0)):
        _fill(view, d + np.float32(step), grey, s)
        _band(view, d, -step, 1.6, -24.0)
    for chip in item.chips:
        window = grid.window(chip)
        near, view = grid.at(window), image[window]
        d = distance(near, chip)
        u, _ = near.local(chip)
        _fill(view, d, 190.0, s)
        _fill(view, np.maximum(d, np.abs(u) - np.float32(4.6)), 64.0, s)
        _band(view, d, 0.5, 1.5, -26.0)
    for x, y in ((24.0, 222.0), (232.0, 24.0)):
        _ring(image, grid, x, y, 6.0)
    strip = np.maximum(
        np.abs(grid.x - np.float32(98.0)) - np.float32(66.0), np.abs(grid.y - np.float32(214.0)) - np.float32(16.0)
    )
    du, dv = _teeth(grid.x - np.float32(32.0), 9.43), _teeth(grid.y - np.float32(198.0), 10.67)
    _fill(image, np.maximum(np.sqrt(du * du + dv * dv) - np.float32(2.9), strip), 142.0, s)


def _ring(image: F32, grid: Grid, x: float, y: float, radius: float) -> None:
    window = grid.window(Part(x=x, y=y, w=2 * radius, h=2 * radius))
    near, view = grid.at(window), image[window]
    dx, dy = near.x - np.float32(x), near.y - np.float32(y)
    _fill(view, np.abs(np.sqrt(dx * dx + dy * dy) - np.float32(radius)) - np.float32(1.4), 160.0, near.scale)
