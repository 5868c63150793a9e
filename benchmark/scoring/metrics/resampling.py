"""Resamples as multiplicities: one byte an image and resample, multiplied a few resamples at a time.

Those of many images lie in a temporary file (``benchmark.core.mapped``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped

Multiplicities = NDArray[np.uint8]
"""(R, n): how often each of n images is in each of R resamples."""
ROWS = 64
"""Resamples that are held as floating-point numbers at a time."""
ENTRIES = 1 << 20
"""Most multiplicities that are held as floating-point numbers at a time (one row at least): 8 MB."""


def in_rows(
    row: Callable[[int], NDArray[Any]], shape: tuple[int, int], *, read: Sequence[Multiplicities] = ()
) -> Multiplicities:
    """Make multiplicities row by row.

    Args:
        row: gives each of R rows, (n,), called in order.
        shape: R and n.
        read: what the rows are read from.
    """
    made = mapped.zeros(shape, np.uint8)
    for at in range(shape[0]):
        made[at] = row(at)
        if at % ROWS == 0:
            mapped.let_go(made, *read)
    mapped.let_go(made, *read)
    return made


def of_images(weights: Multiplicities, used: Sequence[int]) -> Multiplicities:
    """Return the columns of some of the images, in rising order; ``weights`` itself where they are all."""
    resamples, n = weights.shape
    if len(used) == n:
        return weights
    chosen = np.asarray(used, dtype=np.int64)
    return in_rows(lambda at: weights[at, chosen], (resamples, chosen.size), read=[weights])


def of_block(weights: NDArray[Any], images: slice) -> NDArray[Any]:
    """Return a copy of the columns of neighbouring images, in memory.

    The system reads what lies around a place in a file along with it: of every row more than is asked for.
    """
    pieces = []
    for start in range(0, len(weights), ROWS):
        pieces.append(weights[start : start + ROWS, images].copy())
        mapped.let_go(weights)
    return np.concatenate(pieces)


def side_by_side(parts: Sequence[Multiplicities]) -> Multiplicities:
    """Join the resamples of several sets of images into those of all."""
    shape = (len(parts[0]), sum(part.shape[1] for part in parts))
    return in_rows(lambda at: np.concatenate([part[at] for part in parts]), shape, read=parts)


def product(weights: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
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
        mapped.let_go(weights)
    return sums
