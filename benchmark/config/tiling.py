"""The settings of tiling: how large images are cut up for any pipeline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.core.settings import Settings


class Tiling(Settings):
    """The group ``tiling``."""

    size: int | None = Field(ge=16)
    """Side of the square tiles, pixels; None: images stay whole."""
    overlap: float = Field(ge=0, le=0.75)
    """Least share of a tile that it has in common with the next one."""
    merge: Literal["maximum", "mean"]
    """What a pixel's score is where tiles overlap: the largest, or the mean, whose weights fall towards their edges."""


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Return where tiles begin along one side of an image: evenly spread, the last one ends at the border.

    Args:
        length: of the side, pixels.
        size: of a tile; a shorter side has one tile of its own length.
        overlap: least share of a tile that it has in common with the next one.
    """
    if length <= size:
        return [0]
    step = max(1, int(size * (1.0 - overlap)))
    number = -(-(length - size) // step) + 1
    return [round(at * (length - size) / (number - 1)) for at in range(number)]
