"""The scan that turns a package into a SAT image: where the head was, what the receiver and the gate did."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.data.sat_defects import DefectSettings, Kind, make_defect
from benchmark.data.sat_maths import F32, Stream, blur, rotation, smooth_line
from benchmark.data.sat_scene import FRAME, Grid, draw, make_item

Amount = Annotated[float, Field(ge=0)]


class Nuisances(Settings):
    """What varies between scans of good packages; each is a deviation, and 0 switches it off."""

    brightness: Amount
    """Offset of the whole image, grey levels."""
    gain: Amount
    """Relative change of the whole image's contrast."""
    tilt: Amount
    """Difference between opposite image borders from a tilted part, grey levels."""
    gate: Amount
    """Offset of single layers, because the gate lies at another depth, grey levels."""
    texture: Amount
    """Mottling of the solder and the underfill, grey levels."""
    tolerance: Amount
    """Displacement of the components against each other, design units (1/256 of the image side)."""
    registration: Amount
    """Displacement of the whole scan, design units."""
    rotation: Amount
    """Rotation of the whole scan, degrees."""
    jitter: Amount
    """Sideways displacement of single scan lines, design units."""
    banding: Amount
    """Brightness of single scan lines, grey levels."""
    defocus: Amount
    """Further width of the point spread, design units."""
    speckle: Amount
    """Multiplicative noise, relative."""
    noise: Amount
    """Additive noise, grey levels."""

    def scaled(self, by: float) -> Nuisances:
        """All nuisances times a factor."""
        return Nuisances(**{name: value * by for name, value in self.model_dump().items()})


BASE_SPREAD = 0.6
"""Point spread of a focused transducer, design units."""


def scan(
    stream: Stream, kind: Kind | None, *, size: int, defects: DefectSettings, nuisances: Nuisances
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Make one image and its mask.

    Args:
        stream: source of randomness, one per image.
        kind: defect to draw, None for a good package.
        size: side of the image in pixels.
        defects: how visible and how large defects are.
        nuisances: deviations, already scaled.

    Returns:
        uint8 (size, size) grey levels and bool (size, size) mask.
    """
    shape = (size, size)
    grid = _positions(stream, size, nuisances)
    item = make_item(stream, shape=shape, tolerance=nuisances.tolerance, gate=nuisances.gate, texture=nuisances.texture)
    defect = None if kind is None else make_defect(stream, kind, item, grid, defects)
    ideal = draw(item, grid, defect.apply if defect else None)
    image = _receive(stream, ideal, nuisances, grid.scale)
    mask = defect.mask if defect else np.zeros(shape, dtype=bool)
    return image, mask


def _positions(stream: Stream, size: int, nuisances: Nuisances) -> Grid:
    """Where each pixel lies in the design frame: registration error, then the jitter of the scan lines."""
    scale = size / FRAME
    shift_x, shift_y = nuisances.registration * stream.normal(), nuisances.registration * stream.normal()
    degrees = nuisances.rotation * stream.normal()
    cos, sin = rotation(degrees)
    backlash = nuisances.jitter * stream.normal()
    lines = stream.normals(size) * np.float32(0.5 * nuisances.jitter)
    lines[1::2] += np.float32(backlash)
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5 - 0.5 * size)
    axis: F32 = pixels * np.float32(1.0 / scale)
    along: F32 = axis[None, :] + lines[:, None]
    down: F32 = axis[:, None]
    x: F32 = down * np.float32(sin) + along * np.float32(cos) + np.float32(0.5 * FRAME + shift_x)
    y: F32 = down * np.float32(cos) - along * np.float32(sin) + np.float32(0.5 * FRAME + shift_y)
    turned = 0.5 * FRAME * (abs(sin) + 1.0 - cos)
    reach = max(abs(shift_x), abs(shift_y)) + turned + abs(backlash) + 2.0 * nuisances.jitter + 1.0
    return Grid(x=x, y=y, scale=scale, reach=reach)


def _receive(stream: Stream, ideal: F32, nuisances: Nuisances, scale: float) -> NDArray[np.uint8]:
    """Point spread, gain and offset, tilt, banding, speckle, noise; then 8 bits."""
    size = ideal.shape[0]
    image = blur(ideal, scale * (BASE_SPREAD + nuisances.defocus * abs(stream.normal())))
    gain = 1.0 + nuisances.gain * stream.normal()
    offset = nuisances.brightness * stream.normal()
    ramp = np.arange(size, dtype=np.float32) * np.float32(1.0 / size) - np.float32(0.5)
    tilt_x, tilt_y = nuisances.tilt * stream.normal(), nuisances.tilt * stream.normal()
    rows = np.float32(nuisances.banding) * stream.normals(size) + np.float32(tilt_y) * ramp
    rows += np.float32(1.5 * nuisances.banding) * smooth_line(stream, size, 9)
    pivot = np.float32(96.0)
    image = (image - pivot) * np.float32(gain) + (pivot + np.float32(offset))
    image += rows[:, None]
    image += (np.float32(tilt_x) * ramp)[None, :]
    image *= np.float32(1.0) + np.float32(nuisances.speckle) * _grain(stream, size)
    image += np.float32(nuisances.noise) * stream.normals(size, size)
    levels: NDArray[np.uint8] = np.floor(np.clip(image, np.float32(0.0), np.float32(255.0)) + np.float32(0.5)).astype(
        np.uint8
    )
    return levels


def _grain(stream: Stream, size: int) -> F32:
    """Unit noise that neighbouring pixels share, as the beam is wider than a pixel."""
    field = stream.normals(size + 1, size + 1)
    return np.float32(0.5) * (field[1:, 1:] + field[:-1, 1:] + field[1:, :-1] + field[:-1, :-1])
