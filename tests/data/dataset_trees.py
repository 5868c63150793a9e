"""Tiny dataset trees for tests: real image files, hard-linked where thousands are needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmark.config import CONF, option_settings
from benchmark.data.dataset import Dataset


def dataset(option: str, **changes: Any) -> Dataset:
    """Build the dataset settings of ``conf/dataset/<option>.yaml`` with some keys changed."""
    values = yaml.safe_load((CONF / "dataset" / f"{option}.yaml").read_text())
    settings = option_settings("dataset", {**values, **changes})
    assert isinstance(settings, Dataset)
    return settings


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    """Write an array as an image; the ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


class Linker:
    """Writes one tiny image of each kind and links it wherever it is wanted."""

    def __init__(self, store: Path) -> None:
        self.store = store
        store.mkdir(parents=True, exist_ok=True)

    def __call__(self, target: Path, *, value: int = 0, mode: str = "L", size: tuple[int, int] = (3, 2)) -> None:
        """Link an image of one grey ``value`` to ``target``; ``size`` is (width, height)."""
        source = self.store / f"{mode}-{value}-{size[0]}x{size[1]}{target.suffix.lower()}"
        if not source.exists():
            Image.new("L", size, value).convert(mode).save(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


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
