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
