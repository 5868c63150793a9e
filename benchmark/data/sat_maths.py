"""Random numbers and small maths that give the same bits on every machine.

Relied on: NumPy's promise that the raw stream of a bit generator never changes, and IEEE 754, by
which single ``+ - * /`` and ``sqrt`` are rounded alike everywhere. Not used, because their last bit
differs between builds: libm functions (``exp``, ``sin``), BLAS, FFT, and sums whose order NumPy chooses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_IRWIN_HALL = 2.0 * 65536.0 / np.sqrt(12.0)
"""Standard deviation of the sum of four uniform 16-bit numbers."""


class Stream:
    """A source of random numbers that is fixed by its integer key alone."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def spread(self, half: float) -> float:
        """One number in [-half, half)."""
        return self.uniform(-half, half)

    def pick(self, n: int) -> int:
        """One of 0 .. n - 1."""
        return int(self._bits.random_raw()) % n

    def normal(self) -> float:
        """One nearly normal number (mean 0, deviation 1, bounded by ±6): the sum of twelve uniform ones."""
        total = 0.0
        for _ in range(12):
            total += self.uniform(-0.5, 0.5)
        return total

    def normals(self, *shape: int) -> F32:
        """Nearly normal numbers (mean 0, deviation 1, bounded by ±3.5), float32 of ``shape``.

        Each is the sum of the four 16-bit quarters of one raw 64-bit number: integers until the last step.
        """
        raw = self._bits.random_raw(int(np.prod(shape))).view(np.uint16)
        total = raw[0::4].astype(np.int32) + raw[1::4] + raw[2::4] + raw[3::4]
        return ((total - 131070) * np.float32(1.0 / _IRWIN_HALL)).astype(np.float32).reshape(shape)


def exp(x: float) -> float:
    """Return e**x to about six digits: (1 + x / 2**20) ** (2**20) by twenty squarings."""
    y = 1.0 + x / 1048576.0
    for _ in range(20):
        y *= y
    return y


def rotation(degrees: float) -> tuple[float, float]:
    """Cosine and sine of a small angle, from t = tan(angle / 2) taken as angle / 2.

    The pair is an exact rotation; its angle is off by less than one part in 1,000 up to 6 degrees.
    """
    t = degrees * 0.008726646259971648
    return (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)


def _knots(n: int, cells: int) -> tuple[NDArray[np.intp], F32]:
    position = (np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / n)
    index = np.floor(position).astype(np.intp)
    part = position - index.astype(np.float32)
    return index, part * part * (np.float32(3.0) - np.float32(2.0) * part)


def smooth_field(stream: Stream, shape: tuple[int, int], cells: int) -> F32:
    """Low-frequency noise: nearly normal knots on a (cells + 1)² grid, joined by smooth steps; float32 (H, W)."""
    knots = stream.normals(cells + 1, cells + 1)
    row, down = _knots(shape[0], cells)
    column, across = _knots(shape[1], cells)
    strips = knots[row] + (knots[row + 1] - knots[row]) * down[:, None]
    left = strips[:, column]
    return left + (strips[:, column + 1] - left) * across


def smooth_line(stream: Stream, n: int, cells: int) -> F32:
    """Low-frequency noise along a line of n samples, float32 (n,)."""
    knots = stream.normals(cells + 1)
    index, part = _knots(n, cells)
    return knots[index] + (knots[index + 1] - knots[index]) * part


def blur(image: F32, sigma: float) -> F32:
    """Gaussian blur of a float32 (H, W) image with edge replication, separable, weights summing to 1."""
    radius = int(3.0 * sigma + 1.0)
    side = [exp(-0.5 * k * k / (sigma * sigma)) for k in range(radius + 1)]
    total = side[0] + 2.0 * sum(side[1:])
    weights = [np.float32(w / total) for w in side]
    return _pass(_pass(image, weights, radius).T, weights, radius).T


def _pass(image: F32, weights: list[np.float32], radius: int) -> F32:
    n = image.shape[0]
    padded = np.concatenate([image[:1].repeat(radius, 0), image, image[-1:].repeat(radius, 0)])
    out = padded[radius : radius + n] * weights[0]
    for k in range(1, radius + 1):
        out += (padded[radius - k : radius - k + n] + padded[radius + k : radius + k + n]) * weights[k]
    return out
