"""A toy expensive stage for tests and benchmarks: deterministic regions from the image content, at a stated time each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.samples import Manifest, MaskSet, Sample
from benchmark.stages import Artifact, Inputs, Stage

SIDE = 32


def propose(image: np.ndarray, *, count: int = 8) -> Artifact:
    """Draw boxes that depend on the image's bytes only."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(np.frombuffer(image.tobytes()[:64].ljust(64, b"\0"), dtype=np.uint64))
    masks = np.zeros((count, height, width), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask[y : y + rng.integers(2, height // 2), x : x + rng.integers(2, width // 2)] = True
    return {"masks": MaskSet.encode(masks), "scores": rng.random(count).astype(np.float32)}


def slow_stage(*, seconds: float = 0.0, count: int = 8, version: int = 1, batch_size: int = 1) -> Stage:
    """A stage that takes this many seconds per image."""

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        made = []
        for item in inputs:
            assert item.image is not None
            time.sleep(seconds)
            made.append(propose(item.image, count=count))
        return made

    return Stage(name="slow", version=version, settings={"count": count}, compute=compute, batch_size=batch_size)


def write_images(folder: Path, n: int, *, side: int = SIDE, seed: int = 0) -> Manifest:
    """Write n distinct PNG files and return their manifest."""
    import hashlib

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        path = folder / f"{i:05d}.png"
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path, compress_level=1)
        samples.append(
            Sample(
                id=path.name,
                image=path,
                mask=None,
                defective=bool(i % 2),
                category="toy",
                defect_type="spot" if i % 2 else "good",
                group=path.name,
                split="test",
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        )
    return Manifest(dataset="toy", samples=tuple(samples))
