"""CLIP Surgery's arithmetic on tokens and text vectors (xmed-lab/CLIP_Surgery:clip/clip.py)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.models.score_map import resized, square

Norm = Literal["channels", "tokens"]
Floats = NDArray[np.float32]


class Points(NamedTuple):
    """Point prompts for SAM."""

    places: NDArray[np.int64]
    """(2n, 2) x, y in pixels of the image: n positive ones, weakest first, then n negative ones, lowest first."""
    labels: NDArray[np.uint8]
    """(2n,) 1 positive, 0 negative."""


def normalise(tokens: Floats, *, norm: Norm) -> Floats:
    """Divide tokens, (N, C), by their norm over the channels; ``tokens`` divides by the norm over the token axis.

    The second is a slip of the first release, which Text2Seg still has.
    """
    axis = 1 if norm == "channels" else 0
    return np.asarray(tokens / np.linalg.norm(tokens, axis=axis, keepdims=True), dtype=np.float32)


def surgery(tokens: Floats, texts: Floats, redundant: Floats | None) -> Floats:
    """Similarity of tokens to texts without what all texts share, (N, K) float32 (paper: feature surgery).

    With ``redundant`` R: S = V (T - R)'. Without, the texts are contrasted with each other:
    G = w * (V T'), w = p / mean(p), p = softmax(2 V_cls T') over the texts, S = G - mean of G over the
    texts, which is the sum over channels of the published elementwise form. One text alone gives zeros.

    Args:
        tokens: (N, C) normalised, the class token first.
        texts: (K, C) unit vectors.
        redundant: (C,) unit vector of what is redundant, as of the empty text.
    """
    if redundant is not None:
        return np.asarray(tokens @ (texts - redundant).T, dtype=np.float32)
    similarity = tokens @ texts.T
    powers = np.exp(2 * (similarity[0] - similarity[0].max()))
    shares = powers / powers.sum()
    weighted = similarity * (shares / shares.mean())
    return np.asarray(weighted - weighted.mean(axis=1, keepdims=True), dtype=np.float32)


def similarity_map(similarity: Floats, size: tuple[int, int]) -> Floats:
    """Draw the similarity of the patches to one text over the image, (H, W) float32, not rescaled.

    Args:
        similarity: (g * g,) without the class token, row by row.
        size: (H, W); bilinear.
    """
    return resized(square(similarity), size)


def points_of(similarity: Floats, size: tuple[int, int], *, threshold: float, down_sample: int) -> Points:
    """Choose point prompts: the cells at or above a threshold, and as many of the lowest ones.

    The map is shrunk, rescaled to [0, 1], and at most half of its cells become positive points
    (similarity_map_to_points). Equal cells are taken in row-major order, where the original's order is
    left to chance. A constant map gives no points.

    Args:
        similarity: (g * g,) without the class token, row by row.
        size: (H, W) of the image.
    """
    cells = square(similarity)
    side = cells.shape[0] // down_sample
    if side < 1:
        return _no_points()
    flat = resized(cells, (side, side)).reshape(-1)
    low, high = flat.min(), flat.max()
    if not np.isfinite(low) or not np.isfinite(high) or low == high:
        return _no_points()
    scaled = (flat - low) / (high - low)
    order = np.argsort(scaled, kind="stable")
    count = min(int((scaled >= np.float32(threshold)).sum()), len(flat) // 2)
    chosen = np.concatenate([order[len(order) - count :], order[:count]])
    row, column = np.divmod(chosen, side)
    # In float32 and cut off, as the original has it: the cell's centre, inside the image.
    step_x, step_y = np.float32(size[1] / side), np.float32(size[0] / side)
    x = np.minimum((column.astype(np.float32) + np.float32(0.5)) * step_x, size[1] - 1)
    y = np.minimum((row.astype(np.float32) + np.float32(0.5)) * step_y, size[0] - 1)
    labels = np.repeat(np.array([1, 0], dtype=np.uint8), count)
    return Points(places=np.stack([x, y], axis=1).astype(np.int64), labels=labels)


def _no_points() -> Points:
    return Points(places=np.zeros((0, 2), dtype=np.int64), labels=np.zeros(0, dtype=np.uint8))
