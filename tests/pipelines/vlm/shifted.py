"""Images that are shifted against their reference, so that what is sent is what OpenCV makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.core.samples import Sample

SIDE = 64
ALIGNED = ("pipeline.reference.kind=per_category", "pipeline.align.motion=euclidean")
SHIFTS = ((2.5, 1.25), (-1.75, 3.0))
"""Of the test images against the reference: right and down, pixels."""


def shifted(folder: Path) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Write the test images of ``SHIFTS`` and one reference; returns them as test and training samples."""
    reference = _sample(folder, "reference", (0.0, 0.0))
    return tuple(_sample(folder, f"part{i}", shift) for i, shift in enumerate(SHIFTS)), (reference,)


def _sample(folder: Path, name: str, shift: tuple[float, float]) -> Sample:
    from PIL import Image

    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    x, y = columns - shift[0], rows - shift[1]
    wave = 90 * np.sin(x / 5.0) * np.cos(y / 7.0) + 60 * np.exp(-((x - 24) ** 2 + (y - 36) ** 2) / 60.0)
    grey = np.clip(wave + 110, 0, 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(path)
    train = name == "reference"
    return Sample(
        id=path.name,
        image=path,
        mask=None,
        defective=not train,
        category="toy",
        defect_type="good" if train else "scratch",
        group=path.name,
        split="train" if train else "test",
        sha256=f"{name:>032s}".encode().hex(),
    )
