"""What is left of a prediction and a ground truth inside a region of interest; nothing outside of it counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, MaskSet, Prediction, Regions
from benchmark.scoring.scoring import largest


def truth_inside(truth: GroundTruth, roi: NDArray[np.bool_]) -> GroundTruth:
    """Return a ground truth of which no metric counts a pixel outside, and that has no defect there.

    Args:
        truth: at image size.
        roi: (H, W), True on the pixels that count.
    """
    outside = ~roi if truth.ignore is None else ~roi | truth.ignore
    return replace(truth, mask=truth.mask & roi, ignore=outside)


def prediction_inside(prediction: Prediction, roi: NDArray[np.bool_], where: str) -> Prediction:
    """Return a prediction that says nothing of pixels outside.

    A score map takes its lowest score inside there, so that neither normalisation nor resizing sees what was outside;
    regions and masks end at the border. An image score becomes the largest score inside, and a label whether the mask
    marks anything inside; both stay as they are where there is no map, or no mask, to tell it from.

    Args:
        prediction: at image size.
        roi: (H, W), True on the pixels that count, some of them.
        where: named in errors.

    Raises:
        DataError: map, regions or mask of another size.
    """
    if prediction.outcome != "ok":
        return prediction
    sizes = [v.shape for v in (prediction.score_map, prediction.mask) if v is not None]
    if prediction.regions is not None:
        sizes.append(prediction.regions.masks.shape)
    if any(tuple(size) != roi.shape for size in sizes):
        raise DataError(f"{where}: the prediction is {sizes[0]}, the image {roi.shape}; give it at image size")
    scores = None
    if prediction.score_map is not None:
        scores = prediction.score_map.copy()
        scores[~roi] = prediction.score_map[roi].min()
    mask = None if prediction.mask is None else prediction.mask.astype(np.bool_) & roi
    inside = replace(
        prediction,
        score_map=scores,
        regions=None if prediction.regions is None else _cut(prediction.regions, roi),
        mask=mask,
        label=prediction.label if mask is None or prediction.label is None else bool(mask.any()),
    )
    found = None if prediction.unscored else largest(inside)
    return inside if found is None else replace(inside, image_score=found)


def _cut(regions: Regions, roi: NDArray[np.bool_]) -> Regions:
    """Return regions that end at the border; one that lies outside is empty."""
    from pycocotools import mask as coco

    size = list(regions.masks.shape)
    border = {"size": size, "counts": MaskSet.encode(roi[None]).counts[0]}
    codes = ({"size": size, "counts": code} for code in regions.masks.counts)
    counts = [coco.merge([code, border], intersect=True)["counts"] for code in codes]
    return replace(regions, masks=MaskSet.from_counts(regions.masks.shape, counts))
