"""Which images of two runs are swapped: drawn block by block, as often as they are looked at, and never held whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = 256
"""Most permutations that are worked on at a time."""
BLOCK_BYTES = 16 << 20
"""Most bytes of a block of permutations, one an image and permutation (four permutations at least)."""


@dataclass(frozen=True, kw_only=True)
class Swaps:
    """Permutations of two runs over sets of images: 1 where an image is swapped, 0 where it is not."""

    number: int
    """R, how many there are."""
    sizes: Mapping[str, int]
    """Number of images of each category, in the order in which they lie; each draws from a stream of its own, so that
    all categories together swap what each of them swaps alone."""

    @property
    def n(self) -> int:
        """Number of all images."""
        return sum(self.sizes.values())

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the permutations, at most ``rows_at_a_time`` of them each time, (r, n); the same ones in every call."""
        streams = [(np.random.default_rng([zlib.crc32(name.encode()), n]), n) for name, n in self.sizes.items()]
        step = rows_at_a_time(self.n)
        for start in range(0, self.number, step):
            rows = np.empty((min(step, self.number - start), self.n), dtype=np.uint8)
            at = 0
            for rng, n in streams:
                rows[:, at : at + n] = rng.integers(0, 2, (len(rows), n), dtype=np.uint8)
                at += n
            yield rows


def rows_at_a_time(n: int) -> int:
    """Return how many permutations of n images a block has.

    It is a multiple of 4: NumPy draws four bytes at a time, so that blocks hold what would be drawn at once.
    """
    return max(4, min(ROWS, BLOCK_BYTES // max(1, n)) // 4 * 4)


def blocks(swaps: Swaps | NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield permutations that are drawn, or that are given as (R, n), block by block."""
    if isinstance(swaps, Swaps):
        yield from swaps.blocks()
        return
    step = rows_at_a_time(swaps.shape[1])
    for start in range(0, len(swaps), step):
        yield swaps[start : start + step]
