"""Alignment of an image to a reference image of the same product and size, by OpenCV's registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings

Matrix = NDArray[np.float32]

_NO_WORSE = 1e-4
"""A search that ends where it began may lose this much correlation to rounding."""

WEAK = 0.3
"""Correlation below which an aligned image hardly resembles its reference, so that its alignment may rest on noise."""
WEAK_NOTE = (
    f"images were aligned that hardly resemble their reference (correlation below {WEAK}; each image's stands in its "
    "row): what was found may be noise, and the warp may add differences; pipeline.align.motion=none compares "
    "without it"
)


class AlignSettings(Settings):
    """How images are aligned."""

    motion: Literal["none", "translation", "euclidean", "affine"]
    """What may differ between image and reference; ``none`` switches alignment off."""
    iterations: int = Field(ge=1)
    """Most steps of the ECC search."""
    epsilon: float = Field(gt=0)
    """The search ends when the correlation grows by less."""
    max_side: int = Field(ge=32)
    """Larger images are shrunk to this side for the search (pixels); the warp itself is at full size."""


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """An image in the frame of its reference."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB; the image as it was where alignment failed or is off."""
    valid: NDArray[np.bool_]
    """(H, W), False on pixels that the image does not show, filled with the nearest pixel."""
    aligned: bool
    """False: the search failed or is off."""
    correlation: float | None
    """Correlation coefficient with the reference after the warp, in [-1, 1]; None where undefined (a flat image)."""
    matrix: Matrix
    """(2, 3) maps reference coordinates (x, y, 1) to image coordinates in pixels."""


def is_weak(*, aligned: bool, correlation: float | None) -> bool:
    """Whether an image was warped although it hardly resembles its reference: ``WEAK_NOTE`` tells why to look."""
    return aligned and (correlation is None or correlation < WEAK)


def align(image: NDArray[np.uint8], reference: NDArray[np.uint8], settings: AlignSettings) -> Aligned:
    """Warp an image onto a reference.

    Maximises the enhanced correlation coefficient (Evangelidis and Psarakis, 2008; ``cv2.findTransformECC``) of the
    grey images, which does not depend on brightness and contrast. The search starts from no motion or from the shift
    of the phase correlation, whichever fits better. It counts as failed when it does not converge or fits worse
    than the image as it was.

    Args:
        image: (H, W, 3) uint8.
        reference: (H, W, 3) uint8 of the same size.
        settings: motion model and search.

    Raises:
        ValueError: the sizes differ.
    """
    if image.shape != reference.shape:
        raise ValueError(f"image is {image.shape}, reference is {reference.shape}")
    identity = np.eye(2, 3, dtype=np.float32)
    grey, target, shrink = _search_images(image, reference, settings.max_side)
    before = _correlation(grey, target, identity)
    found = None if settings.motion == "none" else _search(grey, target, settings)
    after = None if found is None else _correlation(grey, target, found)
    if found is None or after is None or (before is not None and after < before - _NO_WORSE):
        everywhere = np.ones(image.shape[:2], dtype=bool)
        return Aligned(image=image, valid=everywhere, aligned=False, correlation=before, matrix=identity)
    matrix = _enlarged(found, shrink)
    warped, valid = warp(image, matrix)
    return Aligned(image=warped, valid=valid, aligned=True, correlation=after, matrix=matrix)


def warp(image: NDArray[np.uint8], matrix: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Resample an image, (H, W, 3) uint8, with linear interpolation.

    Args:
        image: what is resampled.
        matrix: (2, 3) maps target coordinates to image coordinates.

    Returns:
        The warped image and where (H, W) it rests on pixels of the image alone.
    """
    import cv2

    height, width = image.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped, _shown(matrix, (height, width))


def _shown(matrix: Matrix, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose place in the image lies between pixel centres of the image, (H, W)."""
    height, width = shape
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
    # The matrix is exact to about a hundredth of a pixel, so an unmoved border still counts as shown.
    slack = np.float32(0.01)
    valid: NDArray[np.bool_] = (x >= -slack) & (y >= -slack) & (x <= width - 1 + slack) & (y <= height - 1 + slack)
    return valid


def _search_images(
    image: NDArray[np.uint8], reference: NDArray[np.uint8], max_side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The two grey images at search size, and the factor they were shrunk by."""
    import cv2

    shrink = min(1.0, max_side / max(image.shape[:2]))
    size = tuple(max(1, round(side * shrink)) for side in image.shape[1::-1])
    greys = []
    for picture in (image, reference):
        grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
        if shrink < 1.0:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        greys.append(grey.astype(np.float32))
    return greys[0], greys[1], shrink


def _search(grey: NDArray[np.float32], target: NDArray[np.float32], settings: AlignSettings) -> Matrix | None:
    """Run the ECC search; None when it does not converge."""
    import cv2

    motion = {
        "translation": cv2.MOTION_TRANSLATION,
        "euclidean": cv2.MOTION_EUCLIDEAN,
        "affine": cv2.MOTION_AFFINE,
    }[settings.motion]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, settings.iterations, settings.epsilon)
    try:
        start = _start(grey, target)
        _, matrix = cv2.findTransformECC(target, grey, start, motion, criteria, None, 5)
    except cv2.error:
        # OpenCV reports a search that does not converge, or a flat image, by this one exception.
        return None
    found: Matrix = np.asarray(matrix, dtype=np.float32)
    return found if np.isfinite(found).all() else None


def _start(grey: NDArray[np.float32], target: NDArray[np.float32]) -> Matrix:
    """No motion, or the shift of the phase correlation where that fits better."""
    import cv2

    still = np.eye(2, 3, dtype=np.float32)
    window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
    # OpenCV 5.0 multiplies the window into the images that it is given, so it gets copies.
    (x, y), _ = cv2.phaseCorrelate(target.copy(), grey.copy(), window)
    shifted = np.array([[1, 0, x], [0, 1, y]], dtype=np.float32)
    if not np.isfinite(shifted).all():
        return still
    fits = [_correlation(grey, target, matrix) for matrix in (still, shifted)]
    return shifted if fits[1] is not None and (fits[0] is None or fits[1] > fits[0]) else still


def _correlation(grey: NDArray[np.float32], target: NDArray[np.float32], matrix: Matrix) -> float | None:
    """Pearson correlation with the target over the pixels that the warped image shows; None where undefined."""
    import cv2

    shown = _shown(matrix, grey.shape)
    if int(np.count_nonzero(shown)) < grey.size // 4:
        return None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(grey, matrix, grey.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    value: Any = cv2.computeECC(target, warped, shown.astype(np.uint8))
    return float(value) if np.isfinite(value) and abs(value) <= 1.0 + 1e-6 else None


def _enlarged(matrix: Matrix, shrink: float) -> Matrix:
    """The same warp in pixels of the image before it was shrunk (pixel centres lie at whole numbers)."""
    if shrink == 1.0:
        return matrix
    wide = matrix.astype(np.float64)
    centre = np.full(2, 0.5 * shrink - 0.5)
    wide[:, 2] = (wide[:, :2] @ centre + wide[:, 2] - centre) / shrink
    return wide.astype(np.float32)
