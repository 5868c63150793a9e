"""Bootstrap over images: resamples, and any metric of counts on them.

A resample of images is a row of multiplicities. Counts are sums over images, so all resamples together
are one matrix product with the images' counts at a few thousand thresholds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.pool import image_counts
from benchmark.scoring.metrics.resampling import Multiplicities, in_rows, of_block, product
from benchmark.scoring.metrics.tables import ImageTable

BINS = 1024
"""Thresholds kept for resampling; a pool with fewer distinct defect scores is resampled exactly."""
FINE = 8
"""One threshold in so many is spent on the highest scores, where precision moves fastest."""
BLOCK = 1 << 19
"""Entries of the per-image counts that are held at a time: thresholds × images."""
CHUNK = 1 << 17
"""Entries of a replicate matrix that are worked on at a time, so that they stay in cache."""


def resample(n: int, *, resamples: int, seed: int, stratum: str) -> Multiplicities:
    """Draw resamples of n images with replacement, as multiplicities (resamples, n).

    Args:
        n: number of images.
        resamples: number of resamples.
        seed: of the run.
        stratum: category name; each category draws from a stream of its own, so that the numbers of one
            do not depend on which others are evaluated.
    """
    rng = np.random.default_rng([seed, zlib.crc32(stratum.encode())])
    # one image 256 times in one resample does not happen
    return in_rows(lambda _: np.bincount(rng.integers(0, n, n), minlength=n), (resamples, n))


def thinned(counts: Counts, *, bins: int = BINS) -> NDArray[np.int64]:
    """Choose at most ``bins`` of the thresholds: the highest ones, then even steps of recall, and the last.

    Args:
        counts: of the whole pool, without leading axes.
        bins: all thresholds are kept where there are no more.
    """
    number = counts.score.size
    if number <= bins:
        return np.arange(number)
    fine = bins // FINE
    steps = np.searchsorted(counts.tp, np.linspace(counts.tp[fine], counts.tp[-1], bins - fine))
    return np.unique(np.concatenate((np.arange(fine), steps, [number - 1])))


def image_curves(tables: Sequence[ImageTable], counts: Counts, *, bins: int = BINS) -> Counts:
    """Count every image at the thinned thresholds of its pool, ready for ``replicates``.

    Where thresholds were left out between two that are kept, good pixels there are taken as spread evenly
    among the defect pixels (``fp_above`` is that of the threshold before). With 64 continuous maps of 256² a
    replicate is then within 1e-5 of its exact AP and 1e-4 of its exact F1-max, less than a thousandth of an
    interval's width (tests/perf/metrics.py measures it); with fewer thresholds than ``bins`` it is exact.
    """
    chosen = thinned(counts, bins=bins)
    each = image_counts(tables, counts.score[chosen])
    if chosen.size == counts.score.size:
        return each
    neighbours = np.diff(chosen, prepend=-1) == 1
    previous = np.concatenate((np.zeros_like(each.fp[:, :1]), each.fp[:, :-1]), axis=1)
    return Counts(
        score=each.score,
        tp=each.tp,
        fp=each.fp,
        fp_above=np.where(neighbours, each.fp_above, previous),
        n_pos=each.n_pos,
        n_neg=each.n_neg,
        overlap=each.overlap,
        n_components=each.n_components,
    )


def weighted(each: Counts, weights: NDArray[Any]) -> Counts:
    """Sum per-image counts with multiplicities (R, n): counts with R resamples as leading axis."""
    overlap, components = each.overlap, each.n_components
    return Counts(
        score=each.score,
        tp=product(weights, each.tp),
        fp=product(weights, each.fp),
        fp_above=product(weights, each.fp_above),
        n_pos=product(weights, each.n_pos),
        n_neg=product(weights, each.n_neg),
        overlap=None if overlap is None else product(weights, overlap),
        n_components=None if components is None else product(weights, components),
    )


def replicates(
    each: Counts, weights: NDArray[Any], metrics: Mapping[str, Callable[[Counts], NDArray[np.float64]]]
) -> dict[str, NDArray[np.float64]]:
    """Evaluate metrics on every resample.

    Args:
        each: counts per image at common thresholds (``image_curves``), leading axis n images.
        weights: (R, n) multiplicities.
        metrics: name to function of counts.

    Returns:
        name to (R,) values; NaN where a resample leaves the metric undefined.
    """
    each = _floating(each)
    return _by_rows(weights.shape[0], each.score.size, lambda rows: weighted(each, weights[rows]), metrics)


def score_replicates(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    counts: Counts,
    weights: NDArray[Any],
    metrics: Mapping[str, Callable[[Counts], NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    """Evaluate metrics of image scores on every resample.

    Images are put in the order of their scores once; what lies at or above a threshold is then a running sum of
    multiplicities, so that neither time nor memory grows with images times thresholds.

    Args:
        scores: (n,) of the images.
        truth: (n,) True where the image is defective.
        counts: of these images (``counts.score_counts``).
        weights: (R, n) multiplicities.
        metrics: name to function of counts.

    Returns:
        name to (R,) values; NaN where a resample leaves the metric undefined.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    falling, bad = -scores[order], truth[order]
    at_or_above = np.searchsorted(falling, -counts.score, side="right")
    above = np.searchsorted(falling, -counts.score, side="left")

    def drawn(rows: slice) -> Counts:
        each = weights[rows]
        running = {name: np.empty((len(each), counts.score.size)) for name in ("tp", "fp", "fp_above")}
        n_pos, n_neg = np.empty(len(each)), np.empty(len(each))
        for at, row in enumerate(each):
            ordered = row[order]
            positive, negative = (
                np.concatenate(([0.0], np.cumsum(ordered * side, dtype=np.float64))) for side in (bad, ~bad)
            )
            running["tp"][at], running["fp"][at] = positive[at_or_above], negative[at_or_above]
            running["fp_above"][at], n_pos[at], n_neg[at] = negative[above], positive[-1], negative[-1]
        mapped.let_go(weights)
        return Counts(score=counts.score, n_pos=n_pos, n_neg=n_neg, **running)

    return _by_rows(weights.shape[0], counts.score.size, drawn, metrics)


def pooled_replicates(
    tables: Sequence[ImageTable],
    curves: Callable[[Sequence[ImageTable]], Counts],
    thresholds: int,
    weights: NDArray[Any],
    metrics: Mapping[str, Callable[[Counts], NDArray[np.float64]]],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Evaluate metrics on every resample and on the images themselves, as ``replicates`` does, in bounded memory.

    Args:
        tables: one an image, n of them.
        curves: counts some images at common thresholds, leading axis images.
        thresholds: how many there are, for the size of the blocks.
        weights: (R, n) multiplicities.
        metrics: name to function of counts.

    Returns:
        name to (R,) values of the resamples, and name to (1,) values with every image once.
    """
    step = max(1, BLOCK // max(1, thresholds))
    once = np.ones((1, len(tables)))
    if len(tables) <= step:
        each = curves(tables)
        return replicates(each, weights, metrics), replicates(each, once, metrics)
    totals: list[Counts] = []
    for start in range(0, len(tables), step):
        block = slice(start, start + step)
        each = _floating(curves(tables[block]))
        drawn = [weighted(each, of_block(weights, block)), weighted(each, once[:, block])]
        totals = [_added(t, d) for t, d in zip(totals, drawn, strict=True)] if totals else drawn
    sums, plain = totals
    return _by_rows(weights.shape[0], thresholds, partial(_rows, sums), metrics), _by_rows(
        1, 1, lambda _: plain, metrics
    )


def _rows(counts: Counts, rows: slice) -> Counts:
    return Counts(**{k: v if v is None or k == "score" else v[rows] for k, v in vars(counts).items()})


def _floating(each: Counts) -> Counts:
    numbers = {k: v.astype(np.float64) for k, v in vars(each).items() if v is not None}
    return Counts(**{**dict.fromkeys(vars(each)), **numbers, "score": each.score})


def _added(total: Counts, more: Counts) -> Counts:
    """Add counts at the same thresholds into ``total``."""
    for name, value in vars(total).items():
        if value is not None and name != "score":
            value += getattr(more, name)
    return total


def _by_rows(
    resamples: int,
    thresholds: int,
    counts: Callable[[slice], Counts],
    metrics: Mapping[str, Callable[[Counts], NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    """Evaluate metrics on the counts of a few resamples at a time."""
    step = max(1, CHUNK // max(1, thresholds))
    pieces: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
    for start in range(0, resamples, step):
        drawn = counts(slice(start, start + step))
        for name, function in metrics.items():
            pieces[name].append(function(drawn))
    return {name: np.concatenate(p) if p else np.zeros(0) for name, p in pieces.items()}
