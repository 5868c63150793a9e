"""Reading images and ground-truth masks, with every conversion stated here.

Images become 8-bit RGB:

* greyscale (L, 1, LA) is repeated over the three channels; palette (P, PA, GIF) is looked up; an animation gives its
  first frame;
* an alpha channel is dropped, not blended (RGBA, LA, PA, transparent palettes), as OpenCV's colour read does;
* 16-bit greyscale (PNG, TIFF, PGM) is scaled linearly, ``round(v / 257)``: 0 stays 0 and 65535 becomes 255;
* CMYK and YCbCr go through Pillow's conversion;
* EXIF orientation is not applied: masks are drawn on the stored pixel grid;
* 32-bit integer and float images are refused, because their value range is not known.

The content decides what a file is, never its name: a PNG or GIF called ``.jpg`` is read as what it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, MaskFormat, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

Border = Literal["ignore", "foreground", "background"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that are read; anything else is refused before a decoder sees it."""

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
"""Lower-case file name endings that are taken for images when a folder is listed."""

_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_REFUSED = frozenset({"I", "F"})
_TRIMAP_FOREGROUND, _TRIMAP_BACKGROUND, _TRIMAP_BORDER = 1, 2, 3


@contextmanager
def opened(source: Path, data: bytes | None = None) -> Iterator[Image]:
    """Open an image file lazily with Pillow.

    Args:
        source: the file, also named in errors.
        data: its bytes, when they have been read already.

    Raises:
        DataError: the file is missing, empty, not an image, truncated or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    if data is None and source.exists() and not source.is_file():  # a pipe would be waited at for ever
        raise DataError(f"{source}: named like an image, but it is no file; rename or remove it")
    try:
        with Image.open(source if data is None else io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except FileNotFoundError as error:
        if source.is_symlink():
            raise DataError(f"{source}: a link to {source.readlink()}, which is not there; fix or remove it") from error
        raise DataError(f"{source}: no such file; was it moved after the dataset was indexed?") from error
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{source}: cannot be read ({error.strerror}); fix or remove it") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{source}: not an image ({', '.join(FORMATS)} are read); replace or remove the file"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{source}: {error}; cut it into smaller images") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{source}: truncated or damaged image ({error}); get the file again") from error


def load_image(path: Path) -> NDArray[np.uint8]:
    """Read one image as (H, W, 3) uint8 RGB, 0..255; the module says how each kind is converted.

    Raises:
        DataError: missing, truncated or damaged file, not an image, or a 32-bit image.
    """
    with opened(path) as image:
        if _is_sixteen_bit(image):
            # +128 rounds to nearest: 257 is odd, so there are no ties.
            grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.mode in _REFUSED:
            raise DataError(f"{path}: {_refusal(image.mode)}")
        return np.array(_without_transparency(image).convert("RGB"))


def image_shape(path: Path) -> tuple[int, int]:
    """Read an image's (H, W) from its header; raises DataError as ``load_image`` does."""
    with opened(path) as image:
        return image.height, image.width


def load_levels(path: Path, *, mask_format: MaskFormat = "grey", data: bytes | None = None) -> NDArray[np.uint8]:
    """Read one mask file as (H, W) uint8 levels, not yet thresholded.

    * ``grey``: brightest of the colour channels after palette lookup; 16-bit is scaled by ``ceil(v / 257)``, so that
      what is not zero stays not zero. A palette index is not a level: one known mask has its white at index 2.
    * ``class_ids`` and ``trimap``: the stored numbers, palette indices included.

    Raises:
        DataError: missing, truncated or damaged file, a 32-bit image, or class ids in a colour image.
    """
    with opened(path, data) as image:
        if _is_sixteen_bit(image):
            return ((np.asarray(image).astype(np.uint32) + 256) // 257).astype(np.uint8)
        if image.mode in _REFUSED:
            raise DataError(f"{path}: {_refusal(image.mode)}")
        if image.mode in ("L", "1"):
            return np.array(image.convert("L"))
        if mask_format != "grey":
            if image.mode == "P":
                return np.array(image)
            raise DataError(f"{path}: a {mask_format} mask is a one-channel image, this one is {image.mode}")
        brightest: NDArray[np.uint8] = np.asarray(_without_transparency(image).convert("RGB")).max(axis=2)
        return brightest


def is_lossy(image: Image, levels: NDArray[np.uint8]) -> bool:
    """Say whether a mask is in a lossy format (JPEG, WebP) and has other levels than zero and its highest."""
    formats = image.format in ("JPEG", "WEBP") or image.info.get("compression") == "jpeg"
    return bool(formats and not np.isin(levels, (0, levels.max(initial=0))).all())


def load_truth(sample: Sample, *, shape: tuple[int, int], threshold: int = 0, border: Border = "ignore") -> GroundTruth:
    """Read the pixel truth of one sample.

    Args:
        sample: its mask may be None: all zero.
        shape: (H, W) of the image.
        threshold: a grey level above it is defect (0..254); class ids and trimaps have none.
        border: what the border class (3) of a trimap counts as.

    Raises:
        DataError: the mask is missing, damaged, of another size than the image, or a trimap with other values
            than 1, 2 and 3.
    """
    if sample.mask is None:
        return GroundTruth(mask=np.zeros(shape, dtype=bool))
    levels = load_levels(sample.mask, mask_format=sample.mask_format)
    if levels.shape != tuple(shape):
        raise DataError(size_mismatch(sample.image, (shape[1], shape[0]), sample.mask, levels.shape[::-1]))
    if sample.mask_format == "class_ids":
        return GroundTruth(mask=levels != 0)
    if sample.mask_format == "grey":
        return GroundTruth(mask=levels > threshold)
    if levels.min(initial=1) < _TRIMAP_FOREGROUND or levels.max(initial=1) > _TRIMAP_BORDER:
        raise DataError(f"{sample.mask}: a trimap holds 1 (foreground), 2 (background), 3 (border) and nothing else")
    edge = levels == _TRIMAP_BORDER
    inside = levels == _TRIMAP_FOREGROUND
    if border == "foreground":
        return GroundTruth(mask=inside | edge)
    return GroundTruth(mask=inside, ignore=edge if border == "ignore" else None)


def size_mismatch(image: Path, image_size: tuple[int, ...], mask: Path, mask_size: tuple[int, ...]) -> str:
    """Say that a mask has another size than its image; sizes are (width, height)."""
    return (
        f"{mask}: the mask is {mask_size[0]}x{mask_size[1]} (width x height) but its image {image} is "
        f"{image_size[0]}x{image_size[1]}; replace the one that is wrong"
    )


def _is_sixteen_bit(image: Image) -> bool:
    """Whether the values are 0..65535; Pillow holds those of a PGM, which it scales to that, in 32 bits."""
    return image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PPM")


def _without_transparency(image: Image) -> Image:
    """Forget the transparency entry of a palette or grey image, which Pillow would warn about."""
    image.info.pop("transparency", None)
    return image


def _refusal(mode: str) -> str:
    return (
        f"32-bit images (Pillow mode {mode}) are not read, because their value range is unknown; "
        "save it as 8- or 16-bit PNG"
    )
