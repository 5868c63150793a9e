"""Reading ground-truth masks: their levels, and the truth of a sample, whatever form it is given in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.drawings import ClassIds
from benchmark.core.errors import DataError
from benchmark.core.samples import AS_STORED, GroundTruth, MaskFormat, Reading, Sample
from benchmark.data.images import REFUSED, image_shape, is_sixteen_bit, opened, refusal, turned, without_transparency

if TYPE_CHECKING:
    from PIL.Image import Image

Border = Literal["ignore", "foreground", "background"]
_TRIMAP_FOREGROUND, _TRIMAP_BACKGROUND, _TRIMAP_BORDER = 1, 2, 3


def load_levels(
    path: Path, *, mask_format: MaskFormat = "grey", data: bytes | None = None, reading: Reading = AS_STORED
) -> NDArray[np.uint8]:
    """Read one mask file, or the part of it that ``reading`` names, as (H, W) uint8 levels, not yet thresholded.

    * ``grey``: brightest of the colour channels after palette lookup; 16-bit is scaled by ``ceil(v / 257)``, so that
      what is not zero stays not zero. A palette index is not a level: one known mask has its white at index 2.
    * ``class_ids`` and ``trimap``: the stored numbers, palette indices included; 1 of a one-bit image is 1.

    Raises:
        DataError: missing, truncated or damaged file, a 32-bit image, or class ids in a colour image or beyond 255.
    """
    if reading.crop is not None:
        top, left, height, width = reading.crop
        whole = load_levels(path, mask_format=mask_format, data=data, reading=replace(reading, crop=None))
        return whole[top : top + height, left : left + width]
    with opened(path, data) as file:
        return levels_of(path, file, mask_format=mask_format, reading=reading)


def levels_of(
    path: Path, file: Image, *, mask_format: MaskFormat = "grey", reading: Reading = AS_STORED
) -> NDArray[np.uint8]:
    """Return the levels of a mask that is open already; ``path`` is named in errors. As ``load_levels``."""
    image = turned(file, reading)
    if mask_format != "grey":
        return _numbers(path, np.asarray(image), image.mode, mask_format)
    if is_sixteen_bit(file):
        return ((np.asarray(image).astype(np.uint32) + 256) // 257).astype(np.uint8)
    if image.mode in REFUSED:
        raise DataError(f"{path}: {refusal(image.mode)}")
    if image.mode in ("L", "1"):
        return np.array(image.convert("L"))
    brightest: NDArray[np.uint8] = np.asarray(without_transparency(image).convert("RGB")).max(axis=2)
    return brightest


def _numbers(path: Path, stored: NDArray[Any], mode: str, mask_format: MaskFormat) -> NDArray[np.uint8]:
    """Return the numbers of a mask as they are stored; raises DataError for colours, and for numbers beyond 255."""
    if stored.ndim != 2 or mode == "F":
        raise DataError(
            f"{path}: a {mask_format} mask is a one-channel image, this one is {mode}; save the numbers of the classes "
            "as 8-bit greyscale or palette PNG (dataset=folder takes colours: all that is not black is defect)"
        )
    low, high = int(stored.min(initial=0)), int(stored.max(initial=0))
    if low < 0 or high > 255:
        raise DataError(
            f"{path}: holds the number {high if high > 255 else low}; classes go from 0 to 255: give several "
            "instances of one class one number, and save it as 8-bit PNG"
        )
    return stored.astype(np.uint8)


def is_lossy(image: Image, levels: NDArray[np.uint8]) -> bool:
    """Say whether a mask is in a lossy format (JPEG, WebP) and has other levels than zero and its highest."""
    formats = image.format in ("JPEG", "WEBP") or image.info.get("compression") == "jpeg"
    return bool(formats and not np.isin(levels, (0, levels.max(initial=0))).all())


def load_truth(sample: Sample, *, shape: tuple[int, int], threshold: int = 0, border: Border = "ignore") -> GroundTruth:
    """Read the pixel truth of one sample.

    Args:
        sample: its mask may be None: all zero if it is good, else not known.
        shape: (H, W) of the image.
        threshold: a grey level above it is defect (0..254); class ids, trimaps and drawings have none.
        border: what the border class (3) of a trimap counts as.

    Raises:
        DataError: the mask is missing, damaged, of another size than the image, or a trimap with other values
            than 1, 2 and 3.
    """
    if sample.drawing is not None:
        from benchmark.data.draw import draw

        crop = sample.reading.crop
        height, width = shape if crop is None else image_shape(sample.image, replace(sample.reading, crop=None))
        inside, ignored = draw(sample.drawing, (height, width))  # drawn on the whole image, of which this may be a part
        if crop is not None:
            top, left, *size = crop
            part = (slice(top, top + size[0]), slice(left, left + size[1]))
            inside, ignored = inside[part], None if ignored is None else ignored[part]
        return GroundTruth(mask=inside, ignore=ignored)
    if sample.mask is None:
        return GroundTruth(mask=np.zeros(shape, dtype=bool), known=not sample.defective)
    levels = np.zeros(shape, dtype=np.uint8)
    for file in (sample.mask, *sample.more_masks):
        one = load_levels(file, mask_format=sample.mask_format, reading=sample.reading)
        if one.shape != tuple(shape):
            raise DataError(size_mismatch(sample.image, (shape[1], shape[0]), file, one.shape[::-1]))
        np.maximum(levels, one, out=levels)
    if sample.mask_format == "class_ids":
        return _truth_of_classes(levels, sample.class_ids)
    if sample.mask_format == "grey":
        return GroundTruth(mask=levels > threshold)
    if levels.min(initial=1) < _TRIMAP_FOREGROUND or levels.max(initial=1) > _TRIMAP_BORDER:
        raise DataError(f"{sample.mask}: a trimap holds 1 (foreground), 2 (background), 3 (border) and nothing else")
    edge = levels == _TRIMAP_BORDER
    inside = levels == _TRIMAP_FOREGROUND
    if border == "foreground":
        return GroundTruth(mask=inside | edge)
    return GroundTruth(mask=inside, ignore=edge if border == "ignore" else None)


def _truth_of_classes(levels: NDArray[np.uint8], ids: ClassIds | None) -> GroundTruth:
    if ids is None:
        return GroundTruth(mask=levels != 0)
    ignored = np.isin(levels, ids.ignored)
    mask = ~ignored & (levels != 0 if ids.defects is None else np.isin(levels, ids.defects))
    return GroundTruth(mask=mask, ignore=ignored if ignored.any() else None)


def size_mismatch(image: Path, image_size: tuple[int, ...], mask: Path, mask_size: tuple[int, ...]) -> str:
    """Say that a mask has another size than its image; sizes are (width, height)."""
    return (
        f"{mask}: the mask is {mask_size[0]}x{mask_size[1]} (width x height) but its image {image} is "
        f"{image_size[0]}x{image_size[1]}; replace the one that is wrong"
    )
