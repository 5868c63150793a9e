"""Ground truth that is written as shapes (polygons, boxes, run lengths) or as numbers of classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One region of an image."""

    kind: Literal["polygon", "line", "runs"]
    points: tuple[float, ...] = ()
    """x, y of each corner in turn, finite; the top left corner of the image is (0, 0), the middle of its first pixel
    (0.5, 0.5). In pixels, or in shares of width and height where ``Drawing.relative``."""
    width: float = 0.0
    """Of a line, pixels; a line of one point is a disc."""
    runs: tuple[int, ...] = ()
    """Lengths of runs of 0 and 1 in turn, column by column, as in COCO; they add up to the size's pixels."""
    ignore: bool = False
    """Whether its pixels count nowhere, instead of being defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Everything that is drawn on one image."""

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    """(width, height) of the image that it was drawn on; None: that of the image as it is."""
    relative: bool = False
    """Whether points are shares of width and height, 0..1."""
    where: str = field(default="", compare=False)
    """Place in a file of annotations, for messages."""

    @property
    def sha256(self) -> str:
        """Hash of what is drawn (hex)."""
        return hashlib.sha256(repr((self.size, self.relative, self.shapes)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassIds:
    """Which numbers of a mask of classes are defects."""

    defects: tuple[int, ...] | None
    """None: every number but 0 and those that are ignored."""
    ignored: tuple[int, ...] = ()
    """Pixels of these count nowhere."""

    def chosen(self, levels: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of some numbers that are defects."""
        if self.defects is None:
            return tuple(level for level in levels if level != 0 and level not in self.ignored)
        return tuple(level for level in levels if level in self.defects)
