"""Resamples as multiplicities: one byte an image and resample, multiplied a few resamples at a time.

Those of many images lie in a temporary file, of which a few rows or a few columns are read at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

ROWS = 64
"""Resamples that are held as floating-point numbers at a time."""
ENTRIES = 1 << 20
"""Most multiplicities that are held as floating-point numbers at a time (one row at least): 8 MB."""
HELD_BYTES = 8 << 20
"""Multiplicities of a set of images that are held in memory; those of more lie in a file."""


class Multiplicities(Protocol):
    """(R, n) uint8: how often each of n images is in each of R resamples; an array, or a ``MultiplicityFile``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """R and n."""
        ...

    def __getitem__(self, key: Any, /) -> NDArray[np.uint8]:
        """Return some rows (``[slice]``) or some columns (``[:, slice]``)."""
        ...


class MultiplicityFile:
    """Multiplicities in an unnamed temporary file, row after row.

    Args:
        rows: gives each of R rows, (n,) uint8, in turn.
        shape: R and n.
    """

    def __init__(self, rows: Callable[[int], NDArray[np.uint8]], shape: tuple[int, int]) -> None:
        self.shape = shape
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="benchmark-resamples-")  # noqa: SIM115  # until collected
        for at in range(shape[0]):
            self._file.write(rows(at).tobytes())
        self._file.flush()

    def __getitem__(self, key: slice | tuple[slice, slice]) -> NDArray[np.uint8]:
        """Read some rows, or some columns of all rows."""
        wanted, columns = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, _ = columns.indices(self.shape[1])
        chosen = range(*wanted.indices(self.shape[0]))
        found = np.empty((len(chosen), max(0, stop - start)), dtype=np.uint8)
        for row, at in zip(found, chosen, strict=True):
            os.preadv(self._file.fileno(), [row.data], at * self.shape[1] + start)
        return found


def held(rows: Callable[[int], NDArray[np.uint8]], shape: tuple[int, int]) -> Multiplicities:
    """Keep multiplicities: few in memory, many in a file.

    Args:
        rows: gives each of R rows, (n,) uint8, in turn.
        shape: R and n.
    """
    if shape[0] * shape[1] > HELD_BYTES:
        return MultiplicityFile(rows, shape)
    kept = np.empty(shape, dtype=np.uint8)
    for at in range(shape[0]):
        kept[at] = rows(at)
    return cast(Multiplicities, kept)


def of_images(weights: Multiplicities, used: Sequence[int]) -> Multiplicities:
    """Return the columns of some of the images, in rising order; ``weights`` itself where they are all."""
    resamples, n = weights.shape
    if len(used) == n:
        return weights
    chosen = np.asarray(used, dtype=np.int64)
    return held(lambda at: weights[at : at + 1][0, chosen], (resamples, chosen.size))


def side_by_side(parts: Sequence[Multiplicities]) -> Multiplicities:
    """Join the resamples of several sets of images into those of all."""
    shape = (parts[0].shape[0], sum(part.shape[1] for part in parts))
    return held(lambda at: np.concatenate([part[at : at + 1][0] for part in parts]), shape)


def product(weights: Multiplicities, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum values of images with multiplicities: (R, n) times (n,) or (n, K) gives (R,) or (R, K).

    Sums of counts are exact, whatever the order: they are integers far below 2^53.
    """
    floating = values.astype(np.float64)
    resamples, n = weights.shape
    sums = np.empty((resamples, *values.shape[1:]))
    step = max(1, min(ROWS, ENTRIES // max(1, n)))
    for start in range(0, resamples, step):
        rows = slice(start, start + step)
        sums[rows] = weights[rows].astype(np.float64) @ floating
    return sums
