"""Metrics that have a value for each image, of whatever its prediction holds, and are averaged over images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """One answered image, as a metric of source ``each_image`` sees it."""

    defective: bool
    """The image label under the protocol."""
    mask: NDArray[np.bool_]
    """(H, W) at the protocol's evaluation size, True on defect pixels."""
    ignore: NDArray[np.bool_] | None
    """(H, W), True on pixels that do not count."""
    score_map: NDArray[Any] | None
    """(H, W) floating, of the map or the regions, before any normalisation over the category."""
    image_score: float | None
    label: bool | None
    marked: NDArray[np.bool_] | None = None
    """(H, W) binary mask: given, or the map cut at the protocol's threshold; None where there is neither."""


def brier(seen: SeenImage) -> float:
    """Return the squared distance of an image's score from its label.

    Parameters
    ----------
    seen : SeenImage
        With a score that is a probability.

    Returns
    -------
    float
        In [0, 1], lower is better; its mean over images is the Brier score. NaN for a score outside [0, 1].

    References
    ----------
    G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1950;
    brier_score_loss of scikit-learn.
    """
    if seen.image_score is None or not 0.0 <= seen.image_score <= 1.0:
        return math.nan
    return (seen.image_score - float(seen.defective)) ** 2


def map_error(seen: SeenImage) -> float:
    """Return the mean distance of a score map from the ground truth, pixel by pixel.

    Parameters
    ----------
    seen : SeenImage
        With a map in [0, 1].

    Returns
    -------
    float
        Mean distance over the pixels that count, in [0, 1], lower is better; NaN for scores outside [0, 1] and without
        a map.

    References
    ----------
    MAE of saliency detection: F. Perazzi et al., Saliency filters, CVPR 2012, section 4.2.
    """
    if seen.score_map is None:
        return math.nan
    counted = np.ones(seen.mask.shape, dtype=bool) if seen.ignore is None else ~seen.ignore
    scores = seen.score_map[counted].astype(np.float64)
    if scores.size == 0 or scores.min() < 0.0 or scores.max() > 1.0:
        return math.nan
    return float(np.abs(scores - seen.mask[counted]).mean())


def region_recall(seen: SeenImage) -> float:
    """Return the share of an image's defect regions that are found.

    Parameters
    ----------
    seen : SeenImage
        With a binary mask.

    Returns
    -------
    float
        In [0, 1]; NaN without a mask, and where no defect region counts.

    Notes
    -----
    Regions are the 8-connected components of the ground truth; one is found where a marked pixel lies in it, as a mark
    counts in the free-response ROC. A mask over everything finds every region: read it beside ``false_regions`` and
    ``iou``.

    References
    ----------
    P. C. Bunch et al., A free response approach to the measurement and characterization of radiographic observer
    performance, Proc. SPIE 127, 1977; B. Ehteshami Bejnordi et al., JAMA 318, 2017 (CAMELYON16, a mark inside).
    """
    if seen.marked is None:
        return math.nan
    regions = _components(seen.mask)
    counted = _numbers(regions, seen.ignore, inside=seen.mask)
    if not counted.size:
        return math.nan
    return float(_numbers(regions, seen.ignore, inside=seen.mask & seen.marked).size / counted.size)


def false_regions(seen: SeenImage) -> float:
    """Return how many marked regions of an image hold no defect pixel.

    Parameters
    ----------
    seen : SeenImage
        With a binary mask.

    Returns
    -------
    float
        0 or more, lower is better; NaN without a mask. Its mean is the false regions per image.

    Notes
    -----
    Regions are the 8-connected components of the mask; one that touches an ignored defect pixel is no false one, nor
    is one of ignored pixels alone.

    References
    ----------
    As ``region_recall``: false positives per image, the other axis of the free-response ROC.
    """
    if seen.marked is None:
        return math.nan
    regions = _components(seen.marked)
    counted = _numbers(regions, seen.ignore, inside=seen.marked)
    true = _numbers(regions, None, inside=seen.marked & seen.mask)
    return float(np.setdiff1d(counted, true, assume_unique=True).size)


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the 8-connected components of a mask, 0 outside."""
    import cv2

    labels: NDArray[np.int32]
    _, labels = cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return labels


def _numbers(
    labels: NDArray[np.int32], ignore: NDArray[np.bool_] | None, *, inside: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return which components have a pixel ``inside`` that is not ignored."""
    return np.unique(labels[inside if ignore is None else inside & ~ignore])
