"""From proposals to scored regions: the area gate, rescoring by saliency, and the strongest K."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return width x height of boxes, (N, 4) centre x, centre y, width, height as fractions: shares of the image."""
    return np.asarray(boxes[:, 2] * boxes[:, 3])


def corners(boxes: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return boxes as x0, y0, x1, y1 in pixels of an image of (H, W), not clipped.

    The order of the float32 operations is that of caoyunkang/Segment-Any-Anomaly:SAA/model.py, so that masks
    decoded from the corners are the same ones.

    Args:
        boxes: (N, 4) float32 centre x, centre y, width, height as fractions of the image.
    """
    height, width = shape
    scaled = boxes * np.array([width, height, width, height], dtype=np.float32)
    first = scaled[:, :2] - scaled[:, 2:] / np.float32(2)
    return np.concatenate([first, first + scaled[:, 2:]], axis=1)


def mean_saliency(masks: NDArray[np.bool_], saliency: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of a saliency map, (H, W), inside each mask of (N, H, W); NaN where a mask is empty."""
    means = np.full(len(masks), np.nan)
    for i, mask in enumerate(masks):
        inside = saliency[mask]
        if inside.size:
            means[i] = inside.mean()
    return means


def rescored(scores: NDArray[np.float32], saliency: NDArray[np.float64], *, exponent: float) -> NDArray[np.float64]:
    """Return scores times exp(exponent * mean saliency); a score whose saliency is NaN stays as it is.

    The released code has the exponent 3 (caoyunkang/Segment-Any-Anomaly:SAA/model.py, rescore), SAA+ (arXiv
    2305.10724, eq. 6) and AnomalyVLM (eq. 4) print 1.

    Args:
        scores: (N,) of the detector.
        saliency: (N,) mean inside each region, in [0, 1].
    """
    factor = np.where(np.isnan(saliency), 1.0, np.exp(exponent * np.nan_to_num(saliency)))
    return np.asarray(scores * factor, dtype=np.float64)


def strongest(scores: NDArray[np.float64], number: int | None) -> NDArray[np.int64]:
    """Return the places of the ``number`` largest scores (None: of all), weakest first; of equal ones the later."""
    order = np.argsort(scores, kind="stable")
    return order if number is None else order[-number:]
