"""Ranking metrics as pure functions of counts; they serve pixels and whole images alike.

Notation: t_1 > t_2 > … the distinct scores, tp_k and fp_k the defect and good pixels with score >= t_k,
P and N all defect and good pixels. Every function works along the last axis of the counts and
returns NaN where the metric is undefined, never 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError
from benchmark.scoring.metrics.counts import Counts

Values = NDArray[np.float64]


def ap(counts: Counts) -> Values:
    """Return the average precision, the step sum under the precision-recall curve.

    Parameters
    ----------
    counts : Counts
        Of pixels or of whole images, with any leading axes.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where there is no defect pixel.

    Notes
    -----
    AP = (1/P) Σ_k (tp_k − tp_{k−1}) · tp_k / (tp_k + fp_k), without interpolation or trapezoid.
    A constant map has AP = P / (P + N).

    References
    ----------
    scikit-learn/scikit-learn:sklearn/metrics/_ranking.py, average_precision_score, which defines it the same way.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> round(float(ap(score_counts(scores, truth))), 6)
    0.833333
    """
    gained = np.diff(counts.tp, axis=-1, prepend=0)
    return ratio(np.sum(gained * precisions(counts), axis=-1), counts.n_pos)


def f_beta_max(counts: Counts, *, beta: float = 1.0) -> Values:
    """Return the largest F-beta over all thresholds.

    Parameters
    ----------
    counts : Counts
        Of pixels or of whole images, with any leading axes.
    beta : float
        Recall weighs ``beta`` times as much as precision.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where there is no defect pixel.

    See Also
    --------
    f_beta_threshold : the score at which the maximum is reached.

    Notes
    -----
    F = max_k (1 + β²) tp_k / (β² P + tp_k + fp_k). Only scores of defect pixels can reach the maximum: any other
    threshold adds good pixels and no defect pixel. A constant map has F1 = 2P / (2P + N).

    References
    ----------
    C. J. van Rijsbergen, Information Retrieval, 2nd ed., 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> float(f_beta_max(score_counts(scores, truth)))
    0.8
    """
    return _best(_f_beta(counts, beta), counts)


def f_beta_threshold(counts: Counts, *, beta: float = 1.0) -> float:
    """Return the largest score at which F-beta is at its maximum (``score >= threshold`` is a defect), or NaN."""
    curve = _f_beta(counts, beta)
    return float(counts.score[int(np.argmax(curve))]) if curve.size and int(counts.n_pos) else float("nan")


def iou_max(counts: Counts) -> Values:
    """Return the largest intersection over union of the pooled pixels over all thresholds.

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
    IoU = max_k tp_k / (P + fp_k) = F1 / (2 − F1), reached at the threshold of F1-max. The identity holds for one
    pool of pixels; an average over categories is taken after the conversion.

    References
    ----------
    M. Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 111, 2015 (IoU of a class over all pixels).

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> round(float(iou_max(score_counts(scores, truth))), 6)
    0.666667
    """
    f1 = f_beta_max(counts)
    return f1 / (2.0 - f1)


def auroc(counts: Counts) -> Values:
    """Return the area under the receiver operating characteristic.

    Parameters
    ----------
    counts : Counts
        Of pixels or of whole images, with any leading axes.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where defect or good pixels are missing. A constant map has 0.5.

    Notes
    -----
    AUROC = (1/(P·N)) Σ_v pos(v) · [neg(< v) + ½ neg(= v)] over distinct scores v: the chance that a defect pixel
    outranks a good one, ties counting half. Equal to the trapezoid rule of scikit-learn's roc_auc_score.

    References
    ----------
    J. A. Hanley and B. J. McNeil, Radiology 143, 1982.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> float(auroc(score_counts(scores, truth)))
    0.75
    """
    gained = np.diff(counts.tp, axis=-1, prepend=0)
    below = _last(counts.n_neg) - 0.5 * (counts.fp + counts.fp_above)
    return ratio(np.sum(gained * below, axis=-1), np.multiply(counts.n_pos, counts.n_neg, dtype=np.float64))


def aupro(counts: Counts, *, limit: float = 0.3) -> Values:
    """Return the area under the per-region overlap curve up to a false-positive rate, divided by that rate.

    Parameters
    ----------
    counts : Counts
        Of pixels, with ``overlap`` and ``n_components``, with any leading axes.
    limit : float
        False-positive rate in (0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where there is no component or no good pixel.

    Notes
    -----
    PRO(t) = (1/R) Σ_r |{x ∈ r: s(x) >= t}| / |r| over the R 8-connected components of the ground truth;
    FPR(t) = fp(t)/N over all pixels outside them, those of good images included. The curve runs from (0, 0)
    through every distinct threshold, straight between them, and is cut at ``limit`` by linear interpolation.
    Between two scores of defect pixels it is level, so their counts alone give it exactly.

    References
    ----------
    P. Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129, 2021 (which samples the thresholds).

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.pool import count
    >>> from benchmark.scoring.metrics.tables import dense_table
    >>> scores, truth = np.array([[0.9, 0.1, 0.2, 0.8]]), np.array([[True, False, False, True]])
    >>> float(aupro(count([dense_table(scores, truth, components=True)])))
    1.0
    """
    if counts.overlap is None or counts.n_components is None:
        raise ValueError("AUPRO needs counts with component overlaps")
    limit = checked_limit(limit)
    with np.errstate(invalid="ignore", divide="ignore"):
        n_neg, regions = _last(counts.n_neg), _last(counts.n_components)
        before, after = counts.fp_above / n_neg, counts.fp / n_neg
        high = counts.overlap / regions
        low = np.concatenate((np.zeros_like(high[..., :1]), high[..., :-1]), axis=-1)
        # level from the threshold before, then straight up to this one's tie
        start = np.concatenate((np.zeros_like(after[..., :1]), after[..., :-1]), axis=-1)
        level = (np.minimum(before, limit) - np.minimum(start, limit)) * low
        x0, x1 = np.minimum(before, limit), np.minimum(after, limit)
        width = after - before
        share = np.divide(x1 - before, width, out=np.ones_like(width), where=width > 0)
        tie = (x1 - x0) * (low + 0.5 * (high - low) * share)
        last = after[..., -1:] if after.shape[-1] else np.zeros((*after.shape[:-1], 1))
        rest = (limit - np.minimum(last, limit))[..., 0] * (high[..., -1] if high.shape[-1] else 0.0)
        area = (np.sum(level + tie, axis=-1) + rest) / limit
    defined = (np.asarray(counts.n_components) > 0) & (np.asarray(counts.n_neg) > 0)
    return np.where(defined, area, np.nan)


def checked_limit(limit: float) -> float:
    """Return the false-positive rate up to which AUPRO is taken; raises ConfigError outside (0, 1]."""
    if not 0.0 < limit <= 1.0:
        raise ConfigError(f"the AUPRO limit is a false-positive rate in (0, 1], got {limit}; the usual one is 0.3")
    return limit


def ratio(top: NDArray[Any], bottom: NDArray[Any]) -> Values:
    """Divide elementwise; NaN where ``bottom`` is not positive."""
    bottom = np.asarray(bottom, dtype=np.float64)
    quotient: Values = np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
    return quotient


def precisions(counts: Counts) -> NDArray[Any]:
    """Return tp_k / (tp_k + fp_k) at every threshold; 0 where no pixel is above it."""
    # a resample may hold no pixel at the top thresholds; they gain no defect pixel and weigh nothing
    shares: NDArray[Any] = counts.tp / np.maximum(counts.tp + counts.fp, 1)
    return shares


def _f_beta(counts: Counts, beta: float) -> NDArray[Any]:
    squared = beta * beta
    whole = squared * _last(counts.n_pos) + counts.tp + counts.fp
    return (1.0 + squared) * counts.tp / np.where(whole > 0, whole, 1.0)


def _best(curve: NDArray[Any], counts: Counts) -> Values:
    best = np.max(curve, axis=-1, initial=0.0)
    return np.where(np.asarray(counts.n_pos) > 0, best, np.nan)


def _last(totals: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(totals)[..., None]
