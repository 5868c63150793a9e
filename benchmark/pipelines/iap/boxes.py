"""Which boxes are candidates, how large the object is, and which candidates are small enough."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.pipelines.saa.scoring import corners

ObjectSize = Literal["best_box", "largest_box"]
"""Which of the object's boxes tells its size: that of the highest score (released code), or the largest (paper)."""


class SizeRule(Settings):
    """How large a candidate may be."""

    of: ObjectSize
    factor: float = Field(gt=0)
    """Candidates must be smaller than this times the object."""
    masks: Literal["all", "small"]
    """Which candidates get a mask: ``all``, so that ``factor`` can be swept at no cost; ``small``: those that the rule
    leaves, decoded together as in the released code, because SAM's last bits depend on what is decoded together."""


def suppressed(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, size: tuple[int, int], threshold: float, iou: float
) -> NDArray[np.int64]:
    """Return the boxes that non-maximum suppression leaves, by falling score, whatever caption found them.

    Args:
        boxes: (N, 4) float32 centre x, centre y, width, height as fractions of the image.
        scores: (N,); boxes with a higher score than ``threshold`` take part.
        size: (H, W) of the image: overlaps are taken in pixels, boxes not clipped, as in the released code.
        iou: of two boxes that overlap more, the one with the lower score goes.
    """
    import torch
    from torchvision.ops import nms

    index = np.flatnonzero(scores > np.float32(threshold))
    chosen = torch.from_numpy(corners(boxes[index], size))
    kept = nms(chosen, torch.from_numpy(np.ascontiguousarray(scores[index])), iou)
    return np.asarray(index[kept.numpy()], dtype=np.int64)


def shares(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the boxes' areas as shares of the image, (N,) float32, in the order of operations of the released code.

    Source: sybeam27/IAP-ZSAS:utils/function.py, process_size_output.
    """
    height, width = size
    edges = corners(boxes, size)
    across = (edges[:, 2] - edges[:, 0]) / np.float32(width)
    down = (edges[:, 3] - edges[:, 1]) / np.float32(height)
    return np.asarray(across * down, dtype=np.float32)


def object_share(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, size: tuple[int, int], which: ObjectSize
) -> np.float32 | None:
    """Return the object's area as a share of the image; None where no box is left of it.

    Args:
        boxes: (N, 4) that non-maximum suppression left.
        scores: (N,); of equal ones the first counts.
    """
    if not len(boxes):
        return None
    areas = shares(boxes, size)
    return np.float32(areas.max() if which == "largest_box" else areas[int(scores.argmax())])


def small_enough(areas: NDArray[np.float32], *, object_area: np.float32, factor: float) -> NDArray[np.bool_]:
    """Return which areas are strictly smaller than ``factor`` times the object's (eq. 3 of the paper).

    float32 throughout, as in the released code, so that boxes on the limit go the same way.
    """
    result: NDArray[np.bool_] = areas < np.float32(object_area) * np.float32(factor)
    return result


def clamped(edges: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return corners, (N, 4) x0, y0, x1, y1, moved into the image as before SAM in the released code."""
    height, width = size
    return np.clip(edges, 0, np.array([width, height, width, height], dtype=np.float32))
