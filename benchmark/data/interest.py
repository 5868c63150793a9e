"""Regions of interest: the pixels of an image that count; all others count nowhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError, DataError, near_matches
from benchmark.core.samples import Reading, Sample
from benchmark.data.masks import load_levels
from benchmark.data.records import image_files

EVERY = "*"
"""Stands for all categories."""


@dataclass(frozen=True, kw_only=True)
class Interest:
    """Which pixels of each category's images count."""

    files: Mapping[str, Path | None]
    """Category, or ``EVERY``, to a mask of the pixels that count, those that are not 0; None: all of them do."""
    resize: Literal["error", "nearest"]
    """What becomes of a mask of another size than its image."""

    @classmethod
    def read(cls, setting: Path | Mapping[str, Path | None], resize: Literal["error", "nearest"]) -> Interest:
        """Find the masks that a setting names: a file, a folder of ``<category>.png``, or a file a category.

        Raises:
            DataError: one is not there, or two files of a folder are of one category.
        """
        if isinstance(setting, Mapping):
            files = dict(setting)
        elif setting.is_dir():
            files = {}
            for name in image_files(setting):
                if Path(name).stem in files:
                    raise DataError(f"{setting / name}: a second mask of category {Path(name).stem}; keep one")
                files[Path(name).stem] = setting / name
            if not files:
                raise DataError(f"{setting}: no mask in it; dataset.roi wants one image a category, <category>.png")
        else:
            files = {EVERY: setting}
        for path in files.values():
            if path is not None and not path.is_file():
                raise DataError(f"{path}: no such mask; dataset.roi names an image that is not 0 where pixels count")
        return cls(files=files, resize=resize)

    def check(self, categories: tuple[str, ...]) -> None:
        """Raise ConfigError for a category that no mask is named for, or a mask of a category that is not there."""
        if EVERY in self.files:
            return
        for name in categories:
            if name not in self.files:
                raise ConfigError(
                    f"dataset.roi: no mask of category {name!r} ({near_matches(name, self.files)}); give one, or "
                    f"{{{name}: null}} where all of its pixels count"
                )

    def of(self, sample: Sample, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Return the pixels of an image that count, (H, W), True inside; None: all of them do.

        Args:
            sample: the image.
            shape: (H, W) of it.

        Raises:
            DataError: the mask is of another size, marks nothing, or cannot be read.
        """
        path = self.files[EVERY if EVERY in self.files else sample.category]
        if path is None:
            return None
        inside = _inside(path, sample.reading.upright)
        if inside.shape == shape:
            return inside
        if self.resize == "error":
            raise DataError(
                f"{path}: this region of interest is {inside.shape[1]}x{inside.shape[0]} (width x height), the image "
                f"{sample.image} is {shape[1]}x{shape[0]}; save it at image size, or give dataset.roi_resize=nearest"
            )
        import cv2

        resized = cv2.resize(inside.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        if not resized.any():
            raise DataError(f"{path}: nothing of this region of interest is left at {shape[1]}x{shape[0]}; enlarge it")
        return np.asarray(resized)


@functools.lru_cache(maxsize=8)
def _read(path: Path, upright: bool, _changed: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = load_levels(path, reading=Reading(upright=upright)) > 0
    if not inside.any():
        raise DataError(f"{path}: this region of interest is all 0, so that no pixel counts; white marks what does")
    inside.flags.writeable = False
    return inside


def _inside(path: Path, upright: bool) -> NDArray[np.bool_]:
    return _read(path, upright, path.stat().st_mtime_ns)
