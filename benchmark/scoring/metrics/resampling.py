"""Resamples as multiplicities: one byte an image and resample, multiplied a few resamples at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Multiplicities = NDArray[np.uint8]
"""(R, n): how often each of n images is in each of R resamples."""
ROWS = 64
"""Resamples that are held as floating-point numbers at a time."""


def product(weights: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum values of images with multiplicities: (R, n) times (n,) or (n, K) gives (R,) or (R, K).

    Sums of counts are exact, whatever the order: they are integers far below 2^53.
    """
    floating = values.astype(np.float64)
    sums = np.empty((weights.shape[0], *values.shape[1:]))
    for start in range(0, weights.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        sums[rows] = weights[rows].astype(np.float64) @ floating
    return sums
