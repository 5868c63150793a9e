"""Counts at or above thresholds: the one thing that every ranking metric is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
"""int64 where counted exactly, float64 where weighted by resampling."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many defect and good pixels lie at or above each distinct score that a defect pixel takes.

    Recall moves only at scores of defect pixels. Between two of them only good pixels are passed:
    precision falls, the ROC and PRO curves run level. So AP, F-beta-max, IoU-max, AUROC and AUPRO are
    exact functions of the counts at these K scores, whatever the number of good pixels.

    Arrays may have leading axes (one row per bootstrap resample); thresholds lie on the last one.
    """

    score: NDArray[Any]
    """(K,) thresholds, descending; float32 or float64."""
    tp: Numbers
    """(..., K) defect pixels with score >= threshold."""
    fp: Numbers
    """(..., K) good pixels with score >= threshold."""
    fp_above: Numbers
    """(..., K) good pixels with score > threshold."""
    n_pos: Numbers
    """(...) defect pixels."""
    n_neg: Numbers
    """(...) good pixels."""
    overlap: NDArray[np.float64] | None = None
    """(..., K) sum over the defect components of the share of each that lies at or above the threshold."""
    n_components: Numbers | None = None
    """(...) connected components of all ground-truth masks."""


def score_counts(scores: NDArray[Any], labels: NDArray[np.bool_]) -> Counts:
    """Count labelled scores held in memory, as for image scores.

    Args:
        scores: (n,) floating; -inf and +inf are allowed.
        labels: (n,) bool, True for the positive class.
    """
    positive = np.sort(scores[labels])
    negative = np.sort(scores[~labels])
    thresholds, first = np.unique(positive, return_index=True)
    return Counts(
        score=thresholds[::-1],
        tp=(positive.size - first)[::-1],
        fp=(negative.size - np.searchsorted(negative, thresholds, side="left"))[::-1],
        fp_above=(negative.size - np.searchsorted(negative, thresholds, side="right"))[::-1],
        n_pos=np.asarray(positive.size),
        n_neg=np.asarray(negative.size),
    )
