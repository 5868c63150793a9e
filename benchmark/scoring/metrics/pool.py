"""From the tables of many images to counts: exact, in cache-sized slices of the score axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.sorting import ascending, compiled
from benchmark.scoring.metrics.tables import ImageTable, minmax
from benchmark.scoring.metrics.variants import Grid

SLICE = 1 << 18
"""Pixels that are merged at a time: 1 MB of float32, which fits the second-level cache."""
SLICE_PER_IMAGE = 512
"""Pixels of one image in a slice, at least, so that many images do not mean many tiny pieces."""
GROUP = SLICE // SLICE_PER_IMAGE
"""Images whose scores are looked at together: pieces of more would not fit a slice."""
SUMMED = 1 << 13
"""Images whose counts at given thresholds are held at a time."""
ORDINALS_PER_PIXEL = 3
"""A slice in which fewer numbers than this can be written for each pixel is counted number by number."""
SIDES: Final = ("left", "right")


def in_groups(tables: Sequence[ImageTable], size: int = GROUP) -> Iterator[Sequence[ImageTable]]:
    """Yield ``size`` tables after the other, and let go of the scores of each group that lie in files."""
    for start in range(0, len(tables), size):
        group = tables[start : start + size]
        yield group
        mapped.let_go(*(t.score for t in group))


def count(tables: Sequence[ImageTable]) -> Counts:
    """Count the pooled pixels of images at every distinct score of a defect pixel.

    Every image's scores are sorted already, so the score axis is cut into slices that are counted one
    after the other, ``GROUP`` images at a time: beside the tables no more than a slice and the thresholds are held in
    memory.
    A table given twice counts twice.

    Args:
        tables: one per image, in any order. Overlaps are summed where every table has them.
    """
    thresholds, tp, overlap = _positives(tables)
    at_or_above, above = _all_pixels(tables, thresholds)
    facts = ((t.n, t.n_pos, t.n_components, t.pos_overlap is not None) for t in tables)
    n, n_pos, n_components, overlaps = np.fromiter(facts, np.dtype((np.int64, 4)), len(tables)).sum(axis=0)
    with_overlap = bool(overlaps == len(tables))
    equal = np.diff(tp, append=0)  # thresholds ascend here, so tp falls
    return Counts(
        score=thresholds[::-1],
        tp=tp[::-1],
        fp=(at_or_above - tp)[::-1],
        fp_above=(above - (tp + equal))[::-1],
        n_pos=np.asarray(n_pos),
        n_neg=np.asarray(n - n_pos),
        overlap=overlap[::-1] if with_overlap else None,
        n_components=np.asarray(n_components) if with_overlap else None,
    )


def count_at(
    tables: Sequence[ImageTable],
    thresholds: NDArray[Any],
    *,
    strict: bool = False,
    ends: tuple[float, float] | None = None,
) -> Counts:
    """Count the pooled pixels at given thresholds, as the published variants do.

    Args:
        tables: one per image.
        thresholds: (K,) descending.
        strict: count ``score > threshold`` instead of ``>=``.
        ends: min-max the scores with these ends first, in their own dtype.

    Returns:
        Counts with ``fp_above`` equal to ``fp``: what lies between thresholds is not known.
    """
    sums: dict[str, Any] = {}
    with_overlap = True
    for group in in_groups(tables, SUMMED) if tables else (tables,):
        per_image = image_counts(group, thresholds, strict=strict, ends=ends)
        for name in ("tp", "fp", "n_pos", "n_neg", "overlap", "n_components"):
            if (values := getattr(per_image, name)) is not None:
                sums[name] = sums.get(name, 0) + values.sum(axis=0)
        with_overlap = with_overlap and per_image.overlap is not None
    if not with_overlap:
        sums |= {"overlap": None, "n_components": None}
    return Counts(score=np.asarray(thresholds), fp_above=sums["fp"], **sums)


def pooled_counts(tables: Sequence[ImageTable], grid: Grid | None, ends: tuple[float, float]) -> Counts:
    """Count the pooled pixels at every distinct score, or at a variant's thresholds between the pool's ends."""
    if grid is None:
        return count(tables)
    points, scaled = grid.at(ends)
    return count_at(tables, points, strict=grid.strict, ends=scaled)


def image_counts(
    tables: Sequence[ImageTable],
    thresholds: NDArray[Any],
    *,
    strict: bool = False,
    ends: tuple[float, float] | None = None,
) -> Counts:
    """Count every image apart at common thresholds: leading axis images; descending thresholds.

    A resample of images is then a matrix product of its multiplicities with these counts.
    """
    up = thresholds[::-1]
    side: Literal["left", "right"] = "right" if strict else "left"
    shape = (len(tables), up.size)
    tp, fp, above = (np.empty(shape, dtype=np.int64) for _ in range(3))
    overlap = np.empty(shape)
    facts = np.empty((len(tables), 4), dtype=np.int64)
    for at, table in enumerate(t for group in in_groups(tables) for t in group):
        score = table.score if ends is None else minmax(table.score, *ends)
        pos_score = table.pos_score if ends is None else minmax(table.pos_score, *ends)
        pos_at = np.searchsorted(pos_score, up, side=side)
        pos_over = np.searchsorted(pos_score, up, side="right")
        positives = _tail(table.pos_count, pos_score.size, pos_at)
        tp[at] = positives
        fp[at] = _tail(table.count, score.size, np.searchsorted(score, up, side=side)) - positives
        over = _tail(table.count, score.size, np.searchsorted(score, up, side="right"))
        above[at] = over - _tail(table.pos_count, pos_score.size, pos_over)
        facts[at] = table.n, table.n_pos, table.n_components, table.pos_overlap is not None
        if table.pos_overlap is not None:
            overlap[at] = _tail(table.pos_overlap, pos_score.size, pos_at)
    n, n_pos, n_components, overlaps = facts.T
    with_overlap = bool(overlaps.all())
    return Counts(
        score=np.asarray(thresholds),
        tp=tp[:, ::-1],
        fp=fp[:, ::-1],
        fp_above=above[:, ::-1],
        n_pos=n_pos,
        n_neg=n - n_pos,
        overlap=overlap[:, ::-1] if with_overlap else None,
        n_components=n_components if with_overlap else None,
    )


def score_range(tables: Sequence[ImageTable]) -> tuple[float, float]:
    """Return the smallest and largest finite score of the pool, (nan, nan) where there is none."""
    low = high = float("nan")  # to which no number compares
    for table in (t for group in in_groups(tables) for t in group if np.isfinite(t.score[-1])):
        low = low if low <= (lowest := table.low) else lowest
        high = high if high >= (highest := table.high) else highest
    return low, high


def _tail(weights: NDArray[Any] | None, size: int, positions: NDArray[np.int64]) -> NDArray[Any]:
    """Sum of the weights (1 where None) from each position to the end."""
    if weights is None:
        return size - positions
    sums = np.concatenate((np.cumsum(weights[::-1])[::-1], np.zeros(1, dtype=weights.dtype)))
    return sums[positions]


def _positives(tables: Sequence[ImageTable]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Distinct scores of defect pixels, ascending, with the defect pixels and overlap at or above each."""
    some = [t for t in tables if t.n_pos]
    if not some:
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64), np.zeros(0)
    scores = np.concatenate([t.pos_score for t in some])
    weighted = any(t.pos_count is not None or t.pos_overlap is not None for t in some)
    if not weighted:
        thresholds, first = _distinct(ascending(scores))
        return thresholds, scores.size - first, np.zeros(0)
    order = np.argsort(scores)
    thresholds, first = _distinct(scores[order])
    counts = np.concatenate([np.ones(t.pos_score.size, np.int64) if t.pos_count is None else t.pos_count for t in some])
    tp = np.cumsum(counts[order][::-1])[::-1][first]
    if any(t.pos_overlap is None for t in some):
        return thresholds, tp, np.zeros(0)
    shares = np.concatenate([t.pos_overlap for t in some if t.pos_overlap is not None])
    return thresholds, tp, np.cumsum(shares[order][::-1])[::-1][first]


def _distinct(ordered: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    first = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    return ordered[first], first


def _all_pixels(tables: Sequence[ImageTable], thresholds: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels with score >= and > each ascending threshold."""
    at_or_above = np.zeros(thresholds.size, dtype=np.int64)
    above = np.zeros(thresholds.size, dtype=np.int64)
    if thresholds.size == 0:
        return at_or_above, above
    for group in in_groups(tables):
        _merge_counted([t for t in group if t.count is not None], thresholds, at_or_above, above)
        _merge_slices([t.score for t in group if t.count is None], thresholds, at_or_above, above)
    return at_or_above, above


def _merge_counted(
    tables: Sequence[ImageTable], thresholds: NDArray[Any], at_or_above: NDArray[np.int64], above: NDArray[np.int64]
) -> None:
    """Add the pixels of few-valued maps to both tallies."""
    if not tables:
        return
    scores = np.concatenate([t.score for t in tables])
    order = np.argsort(scores)
    weights = np.concatenate([t.count for t in tables if t.count is not None])[order]
    ordered = scores[order]
    at_or_above += _tail(weights, ordered.size, np.searchsorted(ordered, thresholds, side="left"))
    above += _tail(weights, ordered.size, np.searchsorted(ordered, thresholds, side="right"))


def _merge_slices(
    runs: Sequence[NDArray[Any]], thresholds: NDArray[Any], at_or_above: NDArray[np.int64], above: NDArray[np.int64]
) -> None:
    """Add the pixels of sorted runs to both tallies, one slice of the score axis at a time."""
    total = sum(r.size for r in runs)
    if not total:
        return
    number = max(1, round(total / max(SLICE, SLICE_PER_IMAGE * len(runs))))
    every = max(1, total // (number * 64))
    sample = np.sort(np.concatenate([r[every // 2 :: every] for r in runs]))
    # ties never straddle a cut: scores equal to it go up, in the runs and in the thresholds alike
    cuts = np.unique(sample[:: max(1, sample.size // number)][1:])
    module = compiled()
    if module is not None:
        cuts = np.unique(np.concatenate((cuts, thresholds[:: module.CROWDED][1:])))
    # plain integers slice faster than NumPy's
    bounds = [[0, *np.searchsorted(r, cuts, side="left").tolist(), r.size] for r in runs]
    edges = [0, *np.searchsorted(thresholds, cuts, side="left").tolist(), thresholds.size]
    # defect pixels of tables that are counted apart may lie beyond these runs
    ends = [min(thresholds[0], *(r[0] for r in runs)), *cuts, max(thresholds[-1], *(r[-1] for r in runs))]
    if module is not None and all(part.dtype == np.float32 for part in (thresholds, *runs)):
        places = module.places(runs, thresholds, np.array(bounds), np.array(edges), np.array(ends))
        from_top = np.cumsum(places[::-1])[::-1]
        at_or_above += from_top[1::2]
        above += from_top[2::2]
        return
    remaining = total
    for i, size in enumerate(np.diff(np.sum(bounds, axis=0)).tolist()):
        inside = slice(edges[i], edges[i + 1])
        if edges[i] < edges[i + 1]:
            piece = np.concatenate([r[b[i] : b[i + 1]] for r, b in zip(runs, bounds, strict=True)])
            at, over = _ranked(piece, thresholds[inside], ends[i], ends[i + 1])
            at_or_above[inside] += remaining - size + at
            above[inside] += remaining - size + over
        remaining -= size


def _ranked(
    scores: NDArray[Any], thresholds: NDArray[Any], low: Any, high: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Scores, in any order, that are >= and > each ascending threshold; both lie in [low, high].

    In a large pool of float32 scores most of the numbers that float32 can write occur, so that they are counted
    number by number instead of being sorted.
    """
    ends = np.array([low, high])
    first, last = _ordinals(ends).tolist()
    alike = scores.dtype == thresholds.dtype == ends.dtype
    if not alike or last - first >= scores.size * ORDINALS_PER_PIXEL:
        scores.sort()
        left, right = (np.searchsorted(scores, thresholds, side=side) for side in SIDES)
        return scores.size - left, scores.size - right
    tally = np.bincount(_ordinals(scores) - first, minlength=last - first + 1)
    own = _ordinals(thresholds) - first
    at = np.cumsum(np.add.reduceat(tally, own)[::-1])[::-1]
    return at, at - tally[own]


def _ordinals(scores: NDArray[Any]) -> NDArray[Any]:
    """Integers in the order of floating scores: equal where these are, 1 apart where no number lies between them."""
    bits = scores.view(f"i{scores.dtype.itemsize}")
    negative = bits < 0
    return np.where(negative, np.iinfo(bits.dtype).min - bits, bits) if negative.any() else bits
