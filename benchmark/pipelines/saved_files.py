"""Score maps and masks of one image as files, of any program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction
from benchmark.results.export_files import read_regions

MAPS = (".npy", ".npz", ".tiff", ".tif", ".png")
"""Endings of score maps."""


def read_map(path: Path) -> NDArray[Any]:
    """Read a score map, (H, W) float32 or float64, larger is more defective; of a PNG, the share of the highest level.

    Raises:
        DataError: it cannot be read, is not of one channel, or holds NaN or infinite values.
    """
    levels = path.suffix.lower() == ".png"
    return as_map(_array(path), str(path), levels=levels)


def as_map(values: NDArray[Any], where: str, *, levels: bool = False) -> NDArray[Any]:
    """Return an array as a score map, (H, W) float32 or float64.

    Args:
        values: of numbers; axes of length 1 fall away.
        where: for messages.
        levels: unsigned whole numbers are shares of the highest that their type has.

    Raises:
        DataError: as ``read_map``.
    """
    values = one_channel(values, where)
    if values.dtype.kind not in "fiub":
        raise DataError(f"{where}: a score map of numbers is needed, this is {values.dtype}")
    if values.dtype.kind != "f":
        highest = np.iinfo(values.dtype).max if levels and values.dtype.kind == "u" else 1
        values = values.astype(np.float32) / np.float32(highest)
    elif values.dtype != np.float64:
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{where}: NaN or infinite scores")
    return values


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a binary mask, (H, W): what is not 0 is defect; raises DataError as ``read_map`` does."""
    marked: NDArray[np.bool_] = one_channel(_array(path), str(path)) != 0
    return marked


def of_files(found: Mapping[str, Path]) -> Prediction:
    """Read the prediction of an image: its files by ``map``, ``regions`` and ``mask``; raises DataError."""
    return Prediction(
        score_map=read_map(found["map"]) if "map" in found else None,
        regions=read_regions(found["regions"]) if "regions" in found else None,
        mask=read_mask(found["mask"]) if "mask" in found else None,
    )


def one_channel(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return an array as (H, W) without outer axes of length 1; raises DataError where two are not what is left."""
    flat = values
    while flat.ndim > 2 and 1 in (flat.shape[0], flat.shape[-1]):  # an image may be one pixel high or wide itself
        flat = flat[0] if flat.shape[0] == 1 else flat[..., 0]
    if flat.ndim != 2:
        raise DataError(f"{where}: one channel is needed, (height, width); this has the shape {flat.shape}")
    return flat


def resized(values: NDArray[Any], shape: tuple[int, int], *, linear: bool) -> NDArray[Any]:
    """Resize a map, to float32, or a mask, (H, W) bool, to another (H, W), between pixels or by the nearest one."""
    import cv2

    how = cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST
    found: NDArray[Any] = cv2.resize(values.astype(np.float32), shape[::-1], interpolation=how)
    return found.astype(np.bool_) if values.dtype == np.bool_ else found


def _array(path: Path) -> NDArray[Any]:
    """Read the only array of a file; never a pickle."""
    from benchmark.data.images import opened

    if path.suffix.lower() in (".tif", ".tiff"):
        return _tiff(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        with opened(path) as image:
            return np.asarray(image)
    try:
        read = np.load(path, allow_pickle=False)
        if isinstance(read, np.lib.npyio.NpzFile):
            with read:
                if len(read.files) != 1:
                    raise DataError(f"{path}: holds {len(read.files)} arrays ({', '.join(read.files[:5])}); keep one")
                read = read[read.files[0]]
    except DataError:
        raise
    except Exception as error:
        # NumPy's own words on what is no array advise to load it unsafely
        told = "it holds no array of numbers" if "pickle" in str(error) else error
        raise DataError(f"{path}: cannot be read as a NumPy array ({told}); write it with numpy.save") from error
    return np.asarray(read)


def _tiff(path: Path) -> NDArray[Any]:
    """Read the first page of a TIFF, of 16-bit floats too, which Pillow does not know."""
    import tifffile

    try:
        return np.asarray(tifffile.imread(path, key=0))
    except Exception as error:  # whatever a damaged file makes of a parser
        raise DataError(f"{path}: not a TIFF that can be read ({error}); write it anew") from error
