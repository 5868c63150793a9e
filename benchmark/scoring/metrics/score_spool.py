"""Score tables of many images, one after the other in memory and then in temporary files: numbers, no objects."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.scoring.metrics.tables import ImageTable

HELD_BYTES = 32 << 20
"""Tables that one evaluation holds in memory before it begins to write them out."""
SEGMENT_BYTES = 8 << 20
"""Tables of many images share a file of this size: a process may map some ten thousand files, no more."""
_ARRAYS = ("score", "count", "pos_score", "pos_count", "pos_overlap")
_NUMBERS = ("n", "n_pos", "n_components")
_KINDS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))
_ABSENT = len(_KINDS)


class ScoreSpool:
    """Keeps score tables by number, in memory up to a limit and the rest mapped from unnamed temporary files.

    A table's arrays are views that read as any array; whoever has gone through many lets go of their pages
    (``mapped.let_go``).
    """

    def __init__(self) -> None:
        self._segments: list[NDArray[np.uint8]] = []
        self._filled = self._held = 0
        self._facts = array("I")
        """Of each table: segment, offset, the kind and size of each array, and its numbers."""

    def keep(self, table: ImageTable) -> int:
        """Take a table and return its number."""
        arrays = [getattr(table, name) for name in _ARRAYS]
        size = sum(_padded(values.nbytes) for values in arrays if values is not None)
        if not self._segments or self._filled + size > self._segments[-1].size:
            self._begin(max(SEGMENT_BYTES, size))
        segment, at = self._segments[-1], self._filled
        facts = [len(self._segments) - 1, at]
        for values in arrays:
            facts += [_ABSENT, 0] if values is None else [_KINDS.index(values.dtype), values.size]
            if values is not None:
                segment[at : at + values.nbytes] = np.ascontiguousarray(values).view(np.uint8)
                at += _padded(values.nbytes)
        self._facts.extend([*facts, *(getattr(table, name) for name in _NUMBERS)])
        self._filled = at
        return len(self._facts) // _WIDTH - 1

    def table(self, number: int) -> ImageTable:
        """Return a table by its number."""
        facts = self._facts[number * _WIDTH : (number + 1) * _WIDTH]
        segment, at = self._segments[facts[0]], facts[1]
        arrays: dict[str, Any] = {}
        for name, kind, size in zip(_ARRAYS, facts[2:-3:2], facts[3:-3:2], strict=True):
            if kind == _ABSENT:
                arrays[name] = None
                continue
            length = size * _KINDS[kind].itemsize
            arrays[name] = segment[at : at + length].view(_KINDS[kind])
            arrays[name].flags.writeable = False
            at += _padded(length)
        arrays |= zip(_NUMBERS, facts[-3:], strict=True)
        return ImageTable(**arrays)

    def _begin(self, size: int) -> None:
        if self._segments:
            mapped.let_go(self._segments[-1])
        self._held += size
        self._segments.append(mapped.zeros((size,), np.uint8, held=size if self._held <= HELD_BYTES else 0))
        self._filled = 0


_WIDTH = 2 + 2 * len(_ARRAYS) + len(_NUMBERS)


def _padded(size: int) -> int:
    """Round up, so that numbers of 8 bytes lie at multiples of 8."""
    return size + -size % 8
