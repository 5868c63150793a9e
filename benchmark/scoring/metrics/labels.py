"""Metrics of yes/no answers: whole images called defective or good, and binary masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.scoring.metrics.pixel import Values, ratio
from benchmark.scoring.metrics.resampling import product


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


def confusion(called: NDArray[np.bool_], truth: NDArray[np.bool_], weights: NDArray[Any] | None) -> Confusion:
    """Count answers against labels.

    Args:
        called: (n,) True where the image is called defective.
        truth: (n,) True where it is defective.
        weights: (R, n) multiplicity of every image in each resample; None counts each once.
    """
    cells = np.stack([called & truth, called & ~truth, ~called & truth, ~called & ~truth]).astype(np.float64)
    sums = cells.sum(axis=1) if weights is None else product(weights, cells.T).T
    return Confusion(tp=sums[0], fp=sums[1], fn=sums[2], tn=sums[3])


def f_beta(c: Confusion, *, beta: float) -> Values:
    """Return the F-beta of yes/no answers.

    Parameters
    ----------
    c : Confusion
        With any shape of entries.
    beta : float
        Recall weighs ``beta`` times as much as precision.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where no image is defective. Calling everything good gives 0.

    Notes
    -----
    F = (1 + β²) TP / ((1 + β²) TP + β² FN + FP); F2 = 5PR / (4P + R). Calling everything defective gives
    (1 + β²) D / ((1 + β²) D + G) for D defective and G good images: the floor that an F2 is read against.

    References
    ----------
    C. J. van Rijsbergen, Information Retrieval, 2nd ed., 1979; scikit-learn's fbeta_score.

    Examples
    --------
    >>> import numpy as np
    >>> answers = confusion(np.array([True, True, False]), np.array([True, False, True]), None)
    >>> float(f_beta(answers, beta=2.0))
    0.5
    """
    squared = beta * beta
    bottom = (1 + squared) * c.tp + squared * c.fn + c.fp
    return np.where(np.asarray(c.tp + c.fn) > 0, ratio((1 + squared) * c.tp, bottom), np.nan)


def precision(c: Confusion) -> Values:
    """Return the share of images called defective that are.

    Parameters
    ----------
    c : Confusion
        With any shape of entries.

    Returns
    -------
    ndarray of float64, shape (...)
        TP / (TP + FP) in [0, 1]; NaN where nothing is called defective (scikit-learn warns and says 0).

    References
    ----------
    scikit-learn's precision_score.
    """
    return ratio(c.tp, c.tp + c.fp)


def recall(c: Confusion) -> Values:
    """Return the share of defective images that are called defective.

    Parameters
    ----------
    c : Confusion
        With any shape of entries.

    Returns
    -------
    ndarray of float64, shape (...)
        TP / (TP + FN) in [0, 1]; NaN where no image is defective.

    References
    ----------
    scikit-learn's recall_score.
    """
    return ratio(c.tp, c.tp + c.fn)


def proportions(c: Confusion, name: str) -> tuple[tuple[int, int], ...]:
    """Return successes and trials of the proportions whose mean a metric is.

    Args:
        c: of one set of images, every trial counted once.
        name: ``precision``, ``recall`` or ``balanced_accuracy``.
    """
    tp, fp, fn, tn = (int(x) for x in (c.tp, c.fp, c.fn, c.tn))
    return {
        "precision": ((tp, tp + fp),),
        "recall": ((tp, tp + fn),),
        "balanced_accuracy": ((tp, tp + fn), (tn, tn + fp)),
    }[name]


def balanced_accuracy(c: Confusion) -> Values:
    """Return the mean of recall and specificity.

    Parameters
    ----------
    c : Confusion
        With any shape of entries.

    Returns
    -------
    ndarray of float64, shape (...)
        ½ (TP / (TP + FN) + TN / (TN + FP)) in [0, 1], 0.5 for any constant answer; NaN where defective or good
        images are missing.

    References
    ----------
    K. H. Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010; scikit-learn's
    balanced_accuracy_score.
    """
    return 0.5 * (recall(c) + ratio(c.tn, c.tn + c.fp))


def image_iou(masks: MaskCounts) -> Values:
    """Return each image's intersection over union, (n,): tp / (n_pos + fp), NaN where the ground truth is empty."""
    return np.where(masks.n_pos > 0, ratio(masks.tp, masks.n_pos + masks.fp), np.nan)


def iou_mean_defective(masks: MaskCounts, weights: NDArray[Any] | None = None) -> Values:
    """Return the mean over defective images of the IoU of their binary masks.

    Parameters
    ----------
    masks : MaskCounts
        Of n images.
    weights : ndarray of float64, shape (R, n), or None
        Multiplicities of the images in each resample; None is the data itself.

    Returns
    -------
    ndarray of float64, shape () or (R,)
        In [0, 1]; NaN where no image has a defect pixel.

    Notes
    -----
    (1/|D|) Σ_{i∈D} tp_i / (P_i + fp_i) over the images D whose ground truth is not empty. The others have no IoU
    to average and are left out; an empty prediction on a defective image is 0.

    References
    ----------
    The protocol of arXiv 2509.20479, Table 1.

    Examples
    --------
    >>> import numpy as np
    >>> masks = MaskCounts(tp=np.array([3, 0]), fp=np.array([1, 7]), n_pos=np.array([4, 0]))
    >>> float(iou_mean_defective(masks))
    0.6
    """
    iou, counted = np.nan_to_num(image_iou(masks)), (masks.n_pos > 0).astype(np.float64)
    if weights is None:
        return ratio(iou.sum(), counted.sum())
    return ratio(product(weights, iou), product(weights, counted))


def iou_pooled(masks: MaskCounts, weights: NDArray[Any] | None = None) -> Values:
    """Return the IoU of the binary masks over all pixels together.

    Parameters
    ----------
    masks : MaskCounts
        Of n images.
    weights : ndarray of float64, shape (R, n), or None
        Multiplicities of the images in each resample; None is the data itself.

    Returns
    -------
    ndarray of float64, shape () or (R,)
        Σ tp / (Σ P + Σ fp) in [0, 1]; NaN where no pixel is a defect. Good images enter through false positives.

    References
    ----------
    M. Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 111, 2015 (IoU of a class over all pixels).
    """
    tp, fp, n_pos = (x.sum() if weights is None else product(weights, x) for x in (masks.tp, masks.fp, masks.n_pos))
    return np.where(np.asarray(n_pos) > 0, ratio(tp, n_pos + fp), np.nan)
