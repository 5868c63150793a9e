"""What the golden values of IAP-AS were computed on: the released functions, seeded toy networks, these pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CASES = (
    (97, 61, "scratch, crack, hole", 0.0),
    (80, 80, "Keyword, dark spot spot", 0.42),
    (120, 70, "1. scratch\n2. crack", 0.0),
)
"""Height, width, answer of the language model, text threshold."""


def picture(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Return a smooth random picture, (H, W, 3) uint8, by whole numbers alone: the same on every machine."""
    grid = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    rows, columns = np.arange(height) * 7 * 256 // height, np.arange(width) * 7 * 256 // width
    y, x = rows // 256, columns // 256
    fy, fx = (rows % 256)[:, None, None], (columns % 256)[None, :, None]
    top = grid[y][:, x] * (256 - fx) + grid[y][:, x + 1] * fx
    low = grid[y + 1][:, x] * (256 - fx) + grid[y + 1][:, x + 1] * fx
    return ((top * (256 - fy) + low * fy) >> 16).astype(np.uint8)
