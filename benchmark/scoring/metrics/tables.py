"""The score table of one image: what is kept of its pixels, exact and sorted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.scoring.metrics.sorting import ascending

RUNS_PER_PIXEL = 1 / 8
"""A map with fewer runs of equal pixels than this is counted run by run instead of pixel by pixel."""
REPEATED = 0.5
"""A sorted map in which more neighbours than this are equal is stored as (score, count)."""


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """Sorted scores of one image, all pixels and defect pixels apart.

    Good pixels are never extracted: their number at or above a score is that of all pixels less
    that of the defect pixels. Ignored pixels are in neither.
    """

    score: NDArray[Any]
    """(K,) ascending scores of all pixels; float32 or float64."""
    count: NDArray[np.int64] | None
    """(K,) pixels that take each score; None where every entry is one pixel."""
    pos_score: NDArray[Any]
    """(J,) ascending scores of the defect pixels."""
    pos_count: NDArray[np.int64] | None
    """(J,) as ``count``."""
    pos_overlap: NDArray[np.float64] | None
    """(J,) sum of 1 / (area of its component) over the defect pixels of each entry; None where not asked for."""
    n: int
    """Number of pixels."""
    n_pos: int
    """Number of defect pixels."""
    n_components: int
    """Connected components of the ground truth; 0 where not asked for."""

    @property
    def low(self) -> float:
        """Smallest finite score."""
        return float(self.score[np.isfinite(self.score)][0]) if np.isfinite(self.score[-1]) else float("nan")

    @property
    def high(self) -> float:
        """Largest score."""
        return float(self.score[-1])


def dense_table(
    scores: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    ignore: NDArray[np.bool_] | None = None,
    components: bool = False,
    where: str = "score map",
) -> ImageTable:
    """Tabulate a dense score map, by runs of equal pixels where they are few, else by sorting.

    Args:
        scores: (H, W) floating or integer, finite. float16 is widened to float32, integers to float64.
        mask: (H, W) bool, or uint8 of 0 and 1; True on defect pixels.
        ignore: (H, W) bool, pixels that no metric counts.
        components: also keep what AUPRO needs (8-connected components of the mask).
        where: named in errors.

    Raises:
        DataError: NaN or infinite scores, shapes that differ, an empty map, or a mask that is not binary.
    """
    mask = checked_mask(mask, scores.shape, where)
    if ignore is not None and ignore.shape != mask.shape:
        raise DataError(f"{where}: the ignore mask is {ignore.shape}, the ground truth {mask.shape}")
    flat, labels = floating(scores, where).ravel(), mask.ravel()
    shares, n_components = component_shares(mask, ignore) if components else (None, 0)
    if ignore is not None and ignore.any():
        kept = ~ignore.ravel()
        flat, labels = flat[kept], labels[kept]
    if flat.size == 0:
        raise DataError(f"{where}: no pixel is left to score")
    table = _by_runs(flat, labels, where=where)
    if table is None:
        table = _by_sorting(flat, labels, where=where)
    return table if shares is None else _with_overlap(table, flat[labels], shares, n_components)


def weighted_table(
    scores: NDArray[Any],
    n_pos: NDArray[np.int64],
    n_neg: NDArray[np.int64],
    *,
    overlap: NDArray[np.float64] | None,
    n_components: int,
) -> ImageTable:
    """Tabulate cells that hold several pixels each, as the atoms of region sets.

    Args:
        scores: (A,) finite score of each cell, any order, repeats allowed.
        n_pos: (A,) defect pixels of each cell.
        n_neg: (A,) good pixels of each cell.
        overlap: (A,) sum of 1 / (component area) over the defect pixels of each cell.
        n_components: connected components of the ground truth.
    """
    order = np.argsort(scores)
    ordered, counts, positives = scores[order], (n_pos + n_neg)[order], n_pos[order]
    starts = _starts(ordered)
    total, positive = np.add.reduceat(counts, starts), np.add.reduceat(positives, starts)
    values, some, present = ordered[starts], positive > 0, total > 0
    return ImageTable(
        score=values[present],
        count=total[present],
        pos_score=values[some],
        pos_count=positive[some],
        pos_overlap=None if overlap is None else np.add.reduceat(overlap[order], starts)[some],
        n=int(total.sum()),
        n_pos=int(positive.sum()),
        n_components=n_components,
    )


def rescaled(table: ImageTable, low: float, high: float) -> ImageTable:
    """Map scores to (score - low) / (high - low); all become 0 where high equals low.

    The order is kept, so every exact metric of this image alone stays as it was.
    """
    return replace(table, score=minmax(table.score, low, high), pos_score=minmax(table.pos_score, low, high))


def minmax(scores: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Min-max floating scores with given ends, in their own dtype; constant scores become 0, infinite ones stay.

    Ends that lie further apart than the dtype's largest number are halved first, which is exact.
    """
    if not high > low:
        return np.where(np.isinf(scores), scores, np.zeros_like(scores))
    low, high = scores.dtype.type(low), scores.dtype.type(high)
    with np.errstate(over="ignore"):
        span = high - low
    if not np.isfinite(span):
        half = scores.dtype.type(0.5)
        low, span = half * low, half * high - half * low
        scores = half * scores
    unit: NDArray[Any] = (scores - low) / span
    return unit


def component_shares(
    mask: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], int]:
    """Return 1 / (area of its 8-connected component) for every defect pixel that counts, and how many components do.

    Ignored pixels join the parts of a component, but are no part of its area; a component of them alone is none.

    Args:
        mask: (H, W) bool, contiguous.
        ignore: (H, W) bool, pixels that no metric counts.

    Returns:
        (P,) shares in row-major order of the P defect pixels that are not ignored; the number of components with one.
    """
    chosen = np.flatnonzero(mask)
    if chosen.size == 0:
        return np.zeros(0), 0
    import cv2

    width = mask.shape[1]
    top, bottom = chosen[0] // width, chosen[-1] // width + 1
    number, labels = cv2.connectedComponents(mask[top:bottom].view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    if ignore is not None:
        chosen = chosen[~ignore.ravel()[chosen]]
    own = labels.ravel()[chosen - top * width]
    area = np.bincount(own, minlength=number)
    return 1.0 / area[own], int(np.count_nonzero(area))


def checked_mask(mask: NDArray[Any], shape: tuple[int, ...], where: str) -> NDArray[np.bool_]:
    """Return a contiguous bool mask of ``shape`` from bool, or from uint8 of 0 and 1; else raise DataError."""
    if mask.shape != shape or mask.ndim != 2:
        raise DataError(f"{where}: the ground truth is {mask.shape}, the scores {shape}; both must be one (H, W)")
    if mask.dtype == np.bool_:
        return np.ascontiguousarray(mask)
    if mask.dtype != np.uint8 or (mask.size and mask.max() > 1):
        raise DataError(f"{where}: the ground truth is not binary; give bool, or uint8 of 0 and 1 ({mask.dtype})")
    return np.ascontiguousarray(mask).view(np.bool_)


def floating(scores: NDArray[Any], where: str) -> NDArray[Any]:
    """Return scores as contiguous float32 or float64; float16 is widened to float32, integers to float64.

    Raises:
        DataError: any other dtype, naming ``where``.
    """
    if scores.dtype in (np.float32, np.float64):
        return np.ascontiguousarray(scores)
    if scores.dtype == np.float16:
        return scores.astype(np.float32)
    if scores.dtype.kind in "iub":
        return scores.astype(np.float64)
    raise DataError(f"{where}: scores of dtype {scores.dtype} cannot be ranked; give float32")


def _starts(ordered: NDArray[Any]) -> NDArray[np.int64]:
    """Positions at which a new value begins in a sorted array."""
    return np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))


def _by_runs(flat: NDArray[Any], labels: NDArray[np.bool_], *, where: str) -> ImageTable | None:
    """Tabulate by runs of neighbours that share score and label; None where there are too many runs."""
    most = flat.size * RUNS_PER_PIXEL
    first = flat[: flat.size // 4]
    if np.count_nonzero(first[1:] != first[:-1]) > most:  # so has the whole map
        return None
    change = flat[1:] != flat[:-1]
    if np.count_nonzero(change) > most:
        return None
    if labels.any():
        change |= labels[1:] != labels[:-1]
    starts = np.concatenate(([0], np.flatnonzero(change) + 1))
    values, length = flat[starts], np.diff(starts, append=flat.size)
    if not np.isfinite(values).all():
        raise DataError(f"{where}: NaN or infinite scores")
    positive = length * labels[starts]
    return weighted_table(values, positive, length - positive, overlap=None, n_components=0)


def _by_sorting(flat: NDArray[Any], labels: NDArray[np.bool_], *, where: str) -> ImageTable:
    ordered = ascending(flat)
    # NaN and infinite scores sort to the ends
    if not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        raise DataError(f"{where}: NaN or infinite scores")
    count: NDArray[np.int64] | None = None
    if (ordered[1::61] == ordered[:-1:61]).mean() > REPEATED:
        starts = _starts(ordered)
        count = np.diff(starts, append=ordered.size)
        ordered = ordered[starts]
    positive = ascending(flat[labels])
    return ImageTable(
        score=ordered,
        count=count,
        pos_score=positive,
        pos_count=None,
        pos_overlap=None,
        n=flat.size,
        n_pos=positive.size,
        n_components=0,
    )


def _with_overlap(
    table: ImageTable, scores: NDArray[Any], weights: NDArray[np.float64], n_components: int
) -> ImageTable:
    order = np.argsort(scores)
    ordered, shares = scores[order], weights[order]
    if table.pos_count is None:
        return replace(table, pos_score=ordered, pos_overlap=shares, n_components=n_components)
    starts = _starts(ordered) if ordered.size else np.zeros(0, dtype=np.int64)
    summed = np.add.reduceat(shares, starts) if ordered.size else shares
    return replace(table, pos_overlap=summed, n_components=n_components)
