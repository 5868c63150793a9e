"""Metrics of yes/no answers: whole images called defective or good, and binary masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.pixel import Values, _ratio


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Answers against labels, defective being positive; arrays of any one shape (one entry a resample)."""

    tp: NDArray[Any]
    fp: NDArray[Any]
    fn: NDArray[Any]
    tn: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class MaskCounts:
    """Binary masks against ground truth, image by image."""

    tp: NDArray[np.int64]
    """(n,) defect pixels inside the predicted mask."""
    fp: NDArray[np.int64]
    """(n,) good pixels inside it."""
    n_pos: NDArray[np.int64]
    """(n,) defect pixels."""


def confusion(called: NDArray[np.bool_], truth: NDArray[np.bool_], weights: NDArray[np.float64] | None) -> Confusion:
    """Count answers against labels.

    Args:
        called: (n,) True where the image is called defective.
        truth: (n,) True where it is defective.
        weights: (R, n) multiplicity of every image in each resample; None counts each once.
    """
    cells = np.stack([called & truth, called & ~truth, ~called & truth, ~called & ~truth]).astype(np.float64)
    sums = cells.sum(axis=1) if weights is None else (weights @ cells.T).T
    return Confusion(tp=sums[0], fp=sums[1], fn=sums[2], tn=sums[3])


def f_beta(c: Confusion, *, beta: float) -> Values:
    """Return F-beta of the answers: (1 + β²) TP / ((1 + β²) TP + β² FN + FP).

    Recall weighs β times as much as precision; F2 = 5PR / (4P + R). Calling everything good gives 0.

    Returns:
        (...) in [0, 1]; NaN where no image is defective.
    """
    squared = beta * beta
    bottom = (1 + squared) * c.tp + squared * c.fn + c.fp
    return np.where(np.asarray(c.tp + c.fn) > 0, _ratio((1 + squared) * c.tp, bottom), np.nan)


def precision(c: Confusion) -> Values:
    """Return TP / (TP + FP), (...) in [0, 1]; NaN where nothing is called defective."""
    return _ratio(c.tp, c.tp + c.fp)


def recall(c: Confusion) -> Values:
    """Return TP / (TP + FN), (...) in [0, 1]; NaN where no image is defective."""
    return _ratio(c.tp, c.tp + c.fn)


def balanced_accuracy(c: Confusion) -> Values:
    """Return the mean of recall and specificity, (...) in [0, 1]; NaN where defective or good images are missing.

    ½ (TP / (TP + FN) + TN / (TN + FP)), as scikit-learn's balanced_accuracy_score.
    """
    return 0.5 * (recall(c) + _ratio(c.tn, c.tn + c.fp))


def image_iou(masks: MaskCounts) -> Values:
    """Return each image's intersection over union, (n,): tp / (n_pos + fp), NaN where the ground truth is empty."""
    return np.where(masks.n_pos > 0, _ratio(masks.tp, masks.n_pos + masks.fp), np.nan)


def iou_mean_defective(masks: MaskCounts, weights: NDArray[np.float64] | None = None) -> Values:
    """Return the mean over defective images of the IoU of their binary masks.

    (1/|D|) Σ_{i∈D} tp_i / (P_i + fp_i) over the images D with a ground truth that is not empty; the others
    are left out (they have no IoU to average), and an empty prediction on a defective image is 0.

    Args:
        masks: counts of n images.
        weights: (R, n) multiplicities of resamples; None is the data itself.

    Returns:
        scalar array, or (R,); NaN where D is empty.
    """
    iou, counted = np.nan_to_num(image_iou(masks)), (masks.n_pos > 0).astype(np.float64)
    if weights is None:
        return _ratio(iou.sum(), counted.sum())
    return _ratio(weights @ iou, weights @ counted)


def iou_pooled(masks: MaskCounts, weights: NDArray[np.float64] | None = None) -> Values:
    """Return the IoU of the binary masks over all pixels together: Σ tp / (Σ P + Σ fp).

    Good images enter through their false positives. Arguments as ``iou_mean_defective``.

    Returns:
        scalar array, or (R,); NaN where no pixel is a defect.
    """
    tp, fp, n_pos = (x.sum() if weights is None else weights @ x for x in (masks.tp, masks.fp, masks.n_pos))
    return np.where(np.asarray(n_pos) > 0, _ratio(tp, n_pos + fp), np.nan)
