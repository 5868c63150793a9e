"""Samples made of arrays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.core.samples import Sample, Split


def save_sample(
    path: Path,
    pixels: NDArray[np.uint8],
    *,
    category: str = "toys",
    split: Split = "test",
    defective: bool = False,
) -> Sample:
    """Write an image, grey or RGB; returns its sample, without a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return Sample(
        id=path.name,
        image=path,
        mask=None,
        defective=defective,
        category=category,
        defect_type="spot" if defective else "good",
        group=path.name,
        split=split,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
