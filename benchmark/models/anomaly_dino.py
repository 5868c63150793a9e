"""AnomalyDINO's maths: the foreground of an image, turned references, and distances to their patches (2405.14529)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

BORDER = 0.2
"""Part of each side of the grid that is not its centre (official code: compute_background_mask)."""
LEAST = 0.35
"""Part of the centre that the foreground must cover; else the sign of the component is taken to be wrong."""
Growth = Literal["rows", "square"]
"""The mask is dilated and closed by 3 x 3 patches (``square``), or along the rows of the grid joined to one line
(``rows``): the released code hands OpenCV a mask of one column."""
CHUNK = 1 << 24
"""Most similarities held at a time."""


def joined(maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return all layers as one vector a patch, (h * w, C), and the grid (h, w), that of the first layer.

    Args:
        maps: (C, h, w) float32 of each layer; the others are brought to the grid of the first, bilinear.
    """
    import torch
    from torch.nn import functional as F

    grid = (int(maps[0].shape[1]), int(maps[0].shape[2]))
    same = [F.interpolate(level[None], grid, mode="bilinear", align_corners=False)[0] for level in maps[1:]]
    return torch.cat([maps[0], *same]).flatten(1).T.contiguous(), grid


def foreground(
    patches: NDArray[np.float32], grid: tuple[int, int], *, threshold: float, growth: Growth
) -> NDArray[np.bool_]:
    """Return which patches show the object: their first principal component exceeds a threshold.

    Where that leaves the centre of the image uncovered, the other sign of the component is taken. The mask is then
    dilated and closed (dammsi/AnomalyDINO:src/backbones.py, compute_background_mask; its randomised PCA is an exact
    one here, so that the mask is the same every time).

    Args:
        patches: (h * w, C), of one image, row by row.
        grid: (h, w).
        threshold: in units of the features.
        growth: see ``Growth``.

    Returns:
        (h * w,) True on the object.
    """
    import cv2
    from sklearn.decomposition import PCA

    component = PCA(n_components=1, svd_solver="covariance_eigh").fit_transform(patches.astype(np.float64))[:, 0]
    inside = (component > threshold).reshape(grid)
    rows, columns = (slice(int(side * BORDER), int(side * (1 - BORDER))) for side in grid)
    centre = inside[rows, columns]
    if centre.sum() <= centre.size * LEAST:
        inside = (-component > threshold).reshape(grid)
    kernel = np.ones((3, 3), np.uint8)
    mask = inside.astype(np.uint8)
    grown = cv2.dilate(mask if growth == "square" else mask.reshape(-1, 1), kernel)
    return np.asarray(cv2.morphologyEx(grown, cv2.MORPH_CLOSE, kernel) > 0).ravel()


def turned(image: NDArray[np.uint8], angles: Sequence[float]) -> list[NDArray[np.uint8]]:
    """Return an image turned about its centre by each angle, at its own size, its rim mirrored.

    Args:
        image: (H, W, 3) uint8.
        angles: in degrees, counter-clockwise (dammsi/AnomalyDINO:src/utils.py, rotate_image).
    """
    import cv2

    height, width = image.shape[:2]
    centre = (width / 2, height / 2)
    found = []
    for angle in angles:
        matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
        drawn = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_DEFAULT)
        found.append(np.asarray(drawn, dtype=np.uint8))
    return found


def cosine_distances(patches: torch.Tensor, memory: torch.Tensor, *, neighbours: int) -> torch.Tensor:
    """Return how far each patch is from the memory: 1 - cosine, the mean over its nearest remembered patches.

    Args:
        patches: (N, C) float32, of any length; N may be 0.
        memory: (M, C) float32, of length 1.
        neighbours: how many are averaged; all where the memory has fewer.

    Returns:
        (N,) float32 in [0, 2].
    """
    import torch
    from torch.nn import functional as F

    unit = F.normalize(patches, dim=1)
    number = min(neighbours, len(memory))
    parts = []
    for start in range(0, len(unit), max(1, CHUNK // len(memory))):
        similar = unit[start : start + max(1, CHUNK // len(memory))] @ memory.T
        nearest = similar.amax(1) if number == 1 else similar.topk(number, dim=1).values.mean(1)
        parts.append((1.0 - nearest).clamp_min_(0.0))
    return torch.cat(parts) if parts else patches.new_zeros(0)


def mean_of_largest(distances: NDArray[np.float32], share: float) -> float:
    """Return the mean of the largest ``share`` of the distances; the largest one where that is less than one.

    Args:
        distances: (N,) of all patches of an image, those of the background 0; N >= 1.
        share: of N, rounded down (dammsi/AnomalyDINO:src/post_eval.py, mean_top1p: 0.01).
    """
    number = max(1, int(len(distances) * share))
    return float(np.sort(distances.astype(np.float64))[-number:].mean())


def draw(distances: NDArray[np.float32], size: tuple[int, int], *, smoothing: float) -> NDArray[np.float32]:
    """Draw a grid of distances over the image: bilinear, then a Gaussian.

    Args:
        distances: (h, w).
        size: (H, W) of the image.
        smoothing: deviation of the Gaussian in pixels of the image; 0: none
            (dammsi/AnomalyDINO:src/utils.py, dists2map: 4).

    Returns:
        (H, W) float32 in the range of the distances.
    """
    import cv2
    from scipy.ndimage import gaussian_filter

    drawn = cv2.resize(distances.astype(np.float64), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(gaussian_filter(drawn, sigma=smoothing) if smoothing else drawn, dtype=np.float32)
