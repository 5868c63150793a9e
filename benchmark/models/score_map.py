"""What methods on patches do to their maps in the end."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Resampling = Literal["bilinear", "bilinear_corners", "nearest"]
"""``bilinear_corners``: the centres of the corner cells lie on those of the corner pixels."""
_MODES = {"bilinear": ("bilinear", False), "bilinear_corners": ("bilinear", True), "nearest": ("nearest", None)}


def square(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a square grid of patches, (g * g,) or (g, g), as (g, g)."""
    side = round(values.size**0.5)
    return values.reshape(side, side)


def resized(
    values: NDArray[np.floating], size: tuple[int, int], *, resampling: Resampling = "bilinear"
) -> NDArray[np.float32]:
    """Resize a map, (h, w), to ``size`` (H, W), float32, as ``torch.nn.functional.interpolate`` does."""
    import torch
    from torch.nn import functional as F

    mode, corners = _MODES[resampling]
    grid = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]
    return np.asarray(F.interpolate(grid, size, mode=mode, align_corners=corners)[0, 0].numpy())


def reach(deviation: float) -> int:
    """Return half the side of the Gaussian's kernel, which ends at 4 deviations, pixels."""
    return int(4.0 * deviation + 0.5)


def smooth(score_map: NDArray[np.float32], *, deviation: float) -> NDArray[np.float32]:
    """Convolve a map with a Gaussian, the map mirrored at its rim without repeating the outermost pixels.

    The kernel and the rim are those of PatchCore's implementation in anomalib
    (open-edge-platform/anomalib:src/anomalib/models/components/filters/blur.py), rows and columns one after the other.

    Args:
        score_map: (H, W) float32, each side longer than ``reach``.
        deviation: of the Gaussian, pixels; 0: the map stays as it is.
    """
    import cv2

    if not deviation:
        return score_map
    side = 2 * reach(deviation) + 1
    return np.asarray(cv2.GaussianBlur(score_map, (side, side), deviation, borderType=cv2.BORDER_REFLECT_101))
