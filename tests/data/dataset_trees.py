"""Tiny dataset trees for tests: real image files, hard-linked where thousands are needed."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.config.schema import option_settings
from benchmark.data.dataset import Dataset
from tests.harness import compose


@cache
def option_values(option: str) -> dict[str, Any]:
    """Compose the settings of an option of ``conf/dataset``, or of ``experiment=NAME``."""
    return compose(option if "=" in option else f"dataset={option}")[0]["dataset"]


def dataset(option: str, **changes: Any) -> Dataset:
    """Build the dataset settings of an option with some keys changed."""
    settings = option_settings("dataset", {**option_values(option), **changes})
    assert isinstance(settings, Dataset)
    return settings


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    """Write an array as an image; the ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


class Linker:
    """Writes one tiny image of each kind and links it wherever it is wanted: thousands of files cost little."""

    def __init__(self, store: Path) -> None:
        self.store = store
        store.mkdir(parents=True, exist_ok=True)
        self._made: dict[tuple[int, str], str] = {}
        self._folders: set[str] = set()

    def __call__(self, target: Path | str, value: int = 0) -> None:
        """Link a 3 x 2 pixel (width x height) image of one grey ``value`` to ``target``."""
        folder, _, name = str(target).rpartition("/")
        ending = name[name.rindex(".") :]
        if folder not in self._folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        if (value, ending) not in self._made:
            source = self.store / f"{value}{ending}"
            Image.new("L", (3, 2), value).save(source)
            self._made[value, ending] = str(source)
        os.link(self._made[value, ending], target)


def mvtec_tree(root: Path, *, category: str = "part", good: int = 2, defective: int = 2, train: int = 3) -> Path:
    """Write one category in MVTec layout, 8 x 6 pixel (width x height) images, and return its folder."""
    random = np.random.default_rng(0)
    folder = root / category

    def image() -> np.ndarray:
        return random.integers(0, 255, (6, 8, 3), dtype=np.uint8)

    for i in range(train):
        save(folder / "train" / "good" / f"{i:03}.png", image())
    for i in range(good):
        save(folder / "test" / "good" / f"{i:03}.png", image())
    for i in range(defective):
        save(folder / "test" / "scratch" / f"{i:03}.png", image())
        mask = np.zeros((6, 8), np.uint8)
        mask[1:3, 2:5] = 255
        save(folder / "ground_truth" / "scratch" / f"{i:03}_mask.png", mask)
    return folder
