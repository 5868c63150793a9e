"""Published ways to compute a metric that differ from the exact one, under names of their own.

They exist so that a paper's figure can be set beside the exact one. None is invariant to a monotone
rescaling of the scores unless said so, and none is ever a default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.pixel import Values, checked_limit, precisions, ratio


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Thresholds that a published routine uses instead of every distinct score."""

    points: tuple[float, ...]
    """Ascending, on scores that are min-max normalised over the pool."""
    strict: bool
    """``score > threshold`` instead of ``>=``."""
    scale: Literal["scores", "thresholds"]
    """Whether the routine normalises the scores, or spreads the thresholds over their range."""

    def at(self, ends: tuple[float, float]) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
        """Return the thresholds, descending, and the ends that scores are normalised with, if they are.

        Args:
            ends: smallest and largest score of the pool.
        """
        points = np.array(self.points[::-1])
        if self.scale == "scores":
            return points, ends
        low, high = ends
        if not math.isfinite(high - low):  # further apart than the largest number
            return low * (1.0 - points) + high * points, None
        return low + points * (high - low), None


LINSPACE_100 = Grid(points=tuple(np.linspace(0.0, 1.0, 100).tolist()), strict=False, scale="scores")
"""sybeam27/IAP-ZSAS:utils/function.py, calculate_max_f1."""
STEPS_21 = Grid(points=tuple(np.arange(0.0, 1.001, 0.05).tolist()), strict=True, scale="scores")
"""zhangzjn/ADer:util/metric.py, F1-max over 21 thresholds."""
STEPS_200 = Grid(points=tuple((np.arange(200) / 200).tolist()), strict=True, scale="thresholds")
"""gudovskiy/cflow-ad lineage, as in ByChelsea/VAND-APRIL-GAN:test.py, cal_pro_score."""


def ap_trapezoid(counts: Counts) -> Values:
    """Return the area under the precision-recall curve by the trapezoid rule over points sorted by recall.

    Parameters
    ----------
    counts : Counts
        Of pixels, with any leading axes.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where there is no defect pixel.

    Notes
    -----
    A stable sort by recall joins each defect score to the *lowest* threshold of the next recall, beginning with
    precision 1 at recall 0. It interpolates over ties, so few-valued maps come out too high; invariant to monotone
    rescaling. On resamples the thresholds of images that were not drawn still bound the steps of recall, which
    shifts a replicate slightly.

    References
    ----------
    openvinotoolkit/anomalib:src/anomalib/metrics/aupr.py
    """
    before = np.concatenate((np.zeros_like(counts.tp[..., :1]), counts.tp[..., :-1]), axis=-1)
    precision = precisions(counts)
    start = np.concatenate((np.ones_like(precision[..., :1]), precision[..., :-1]), axis=-1)
    # the good pixels passed before the next defect score lower precision at the same recall
    passed = np.concatenate((counts.fp_above[..., 1:], np.asarray(counts.n_neg)[..., None]), axis=-1)
    end = counts.tp / np.maximum(counts.tp + passed[..., : counts.tp.shape[-1]], 1)
    return ratio(np.sum(0.5 * (counts.tp - before) * (start + end), axis=-1), counts.n_pos)


def aupro_200step(counts: Counts, *, limit: float = 0.3) -> Values:
    """Return AUPRO over 200 thresholds spread evenly over the scores, kept below the limit and rescaled.

    Parameters
    ----------
    counts : Counts
        At the thresholds of ``STEPS_200``, with overlaps, with any leading axes.
    limit : float
        False-positive rate in (0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        NaN where fewer than two distinct rates are kept, or there is no component or good pixel.

    Notes
    -----
    Points with FPR < limit are kept, their FPR is stretched to [0, 1] by the smallest and the largest one kept,
    and the area is a trapezoid. Up to 10 points low on few-valued maps, and not invariant to rescaling.
    SAA+'s copy (caoyunkang/Segment-Any-Anomaly:utils/metrics.py, cal_pro_metric) also fills holes of the components
    and keeps FPR <= limit, which this one does not: some tenths of a point.

    References
    ----------
    ByChelsea/VAND-APRIL-GAN:test.py, cal_pro_score, after gudovskiy/cflow-ad.
    """
    if counts.overlap is None or counts.n_components is None:
        raise ValueError("AUPRO needs counts with component overlaps")
    limit = checked_limit(limit)
    with np.errstate(invalid="ignore", divide="ignore"):
        fpr = counts.fp / np.asarray(counts.n_neg)[..., None]
        pro = counts.overlap / np.asarray(counts.n_components)[..., None]
    flat_fpr, flat_pro = fpr.reshape(-1, fpr.shape[-1]), pro.reshape(-1, pro.shape[-1])
    areas = [_kept_area(x, y, limit) for x, y in zip(flat_fpr, flat_pro, strict=True)]
    return np.array(areas).reshape(fpr.shape[:-1])


def _kept_area(fpr: NDArray[np.float64], pro: NDArray[np.float64], limit: float) -> float:
    kept = fpr < limit
    x, y = fpr[kept], pro[kept]
    if x.size < 2 or not x.max() > x.min() or np.isnan(y).any():
        return float("nan")
    x = (x - x.min()) / (x.max() - x.min())
    return float(np.trapezoid(y, x))
