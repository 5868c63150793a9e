"""Reading images, with every conversion stated here.

Images become 8-bit RGB:

* greyscale (L, 1, LA) is repeated over the three channels; palette (P, PA, GIF) is looked up; an animation gives its
  first frame;
* an alpha channel is dropped, not blended (RGBA, LA, PA, transparent palettes), as OpenCV's colour read does;
* 16-bit greyscale (PNG, TIFF, PGM) is scaled linearly, so that the highest value of its ``Reading.bits`` becomes 255:
  ``round(v / 257)`` for all 16, ``round(v * 255 / 4095)`` for 12;
* CMYK and YCbCr go through Pillow's conversion;
* the EXIF orientation of image and mask is applied with ``Reading.upright`` alone, else the stored grid is taken;
* 32-bit integer and float images are refused, because their value range is not known.

The content decides what a file is, never its name: a PNG or GIF called ``.jpg`` is read as what it is.
"""

from __future__ import annotations

import io
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import AS_STORED, Reading

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that are read; anything else is refused before a decoder sees it."""

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
"""Lower-case file name endings that are taken for images when a folder is listed."""

_ORIENTATION = 0x0112
"""EXIF's tag."""
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap height and width."""
_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
REFUSED = frozenset({"I", "F"})
KEPT_BYTES = 2**29
"""Whole images that are kept for their parts, in bytes; one of more is kept alone."""
_kept: OrderedDict[tuple[object, ...], NDArray[np.uint8]] = OrderedDict()
_keeping = threading.Lock()


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


def load_image(path: Path, reading: Reading = AS_STORED) -> NDArray[np.uint8]:
    """Read one image as (H, W, 3) uint8 RGB, 0..255; the module says how each kind is converted.

    A part (``reading.crop``) is a copy; the whole image is kept for the parts that follow, at most ``KEPT_BYTES`` of
    such images or one, until ``forget_whole_images``.

    Raises:
        DataError: missing, truncated or damaged file, not an image, a 32-bit image, or a value above ``reading.bits``.
    """
    if reading.crop is not None:
        top, left, height, width = reading.crop
        return _whole_image(path, replace(reading, crop=None))[top : top + height, left : left + width].copy()
    with opened(path) as file:
        image = turned(file, reading)
        if is_sixteen_bit(file):
            white = 2**reading.bits - 1
            values = np.asarray(image).astype(np.uint32)
            if values.max(initial=0) > white:
                raise DataError(
                    f"{path}: holds {values.max()}, more than dataset.bits={reading.bits} can be ({white}); raise it, "
                    "or give dataset.bits=null"
                )
            grey = ((values * 510 + white) // (2 * white)).astype(np.uint8)  # rounds to nearest; white is odd: no ties
            return np.repeat(grey[..., None], 3, axis=2)
        if image.mode in REFUSED:
            raise DataError(f"{path}: {refusal(image.mode)}")
        return np.array(without_transparency(image).convert("RGB"))


def _whole_image(path: Path, reading: Reading) -> NDArray[np.uint8]:
    """Decode an image, or take it from those that are kept; a thread waits for another one that decodes it."""
    key = (path, path.stat().st_mtime_ns if path.exists() else None, reading)
    with _keeping:
        image = _kept.pop(key, None)
        if image is None:
            height, width = image_shape(path, reading)
            while _kept and sum(one.nbytes for one in _kept.values()) + 3 * height * width > KEPT_BYTES:
                _kept.popitem(last=False)
            image = load_image(path, reading)
        _kept[key] = image
        return image


def forget_whole_images() -> None:
    """Let go of the images that are kept for their parts."""
    with _keeping:
        _kept.clear()


def squared_as_stored(path: Path, side: int, reading: Reading = AS_STORED) -> NDArray[np.uint8] | None:
    """Read one image resized to a square before its alpha, palette or depth is given up: (side, side, 3) uint8 RGB.

    As ``transforms.Resize`` does on what ``PIL.Image.open`` gives: bicubic, colours weighted by alpha; nearest
    neighbour on palettes and one-bit images; what 16-bit grey becomes after that is Pillow's own conversion.

    Returns:
        None for files of plain grey or RGB, where it makes no difference to ``load_image``.

    Raises:
        DataError: as ``load_image``.
    """
    from PIL import Image

    with opened(path) as image:
        if image.mode in ("RGB", "L"):
            return None
        if image.mode in REFUSED:
            raise DataError(f"{path}: {refusal(image.mode)}")
        whole = turned(image, reading)
        if reading.crop is not None:
            top, left, height, width = reading.crop
            whole = whole.crop((left, top, left + width, top + height))
        squared = whole.resize((side, side), Image.Resampling.BICUBIC)
        return np.array(without_transparency(squared).convert("RGB"))


def image_shape(path: Path, reading: Reading = AS_STORED) -> tuple[int, int]:
    """Read an image's (H, W) from its header, or that of its part; raises DataError as ``load_image`` does."""
    if reading.crop is not None:
        return reading.crop[2:]
    with opened(path) as image:
        swapped = reading.upright and orientation(image) in SIDEWAYS
        return (image.width, image.height) if swapped else (image.height, image.width)


def orientation(image: Image) -> int:
    """Return the EXIF orientation, 1..8, without decoding the image; 1 is upright, and what damaged EXIF data mean.

    A TIFF is upright already, as Pillow turns it.
    """
    if image.format == "TIFF" or "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (ValueError, SyntaxError, OSError, KeyError, TypeError, struct.error):
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def sixteen_bit_peak(image: Image) -> int | None:
    """Return the highest value of a 16-bit greyscale image; None for other kinds."""
    return int(np.asarray(image).max(initial=0)) if is_sixteen_bit(image) else None


def is_sixteen_bit(image: Image) -> bool:
    """Whether the values are 0..65535; Pillow holds those of a PGM, which it scales to that, in 32 bits."""
    return image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PPM")


def turned(image: Image, reading: Reading) -> Image:
    """Return the image upright where that is asked for and the file says how."""
    from PIL import ImageOps

    if not reading.upright or orientation(image) == 1:
        return image
    return ImageOps.exif_transpose(image)


def without_transparency(image: Image) -> Image:
    """Forget the transparency entry of a palette or grey image, which Pillow would warn about."""
    image.info.pop("transparency", None)
    return image


def refusal(mode: str) -> str:
    """Return why an image of a Pillow mode of ``REFUSED`` is not read, and the fix."""
    return (
        f"32-bit images (Pillow mode {mode}) are not read, because their value range is unknown; "
        "save it as 8- or 16-bit PNG"
    )
