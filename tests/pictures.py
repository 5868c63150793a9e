"""Samples made of arrays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.samples import Sample, Split


def save_sample(
    folder: Path, number: int, pixels: NDArray[np.uint8], *, category: str = "toys", split: Split = "test"
) -> Sample:
    """Write an RGB image as ``<number>.png``; returns its sample, good and without a mask."""
    path = folder / f"{number}.png"
    Image.fromarray(pixels).save(path)
    return Sample(
        id=path.name,
        image=path,
        mask=None,
        defective=False,
        category=category,
        defect_type="good",
        group=path.name,
        split=split,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
