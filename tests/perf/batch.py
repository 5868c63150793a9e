"""Images per second of batches of four, over those of the same images one by one, on a CPU; prints ratios.

    python tests/perf/batch.py [--rounds 5] [--threads 1]

The embedded feature network, and the windows of a CLIP ViT-B/16 with random weights on 96 pixels. The ways take turns,
and the quickest round of each counts, as other work on the machine slows both. On a GPU: ``tests/perf/gpu.py``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmark.core.samples import Manifest
from benchmark.models.choice import Networks, choose
from benchmark.models.clip import Clip, squash
from benchmark.models.clip_build import load_clip
from benchmark.models.clip_windows import window_vectors
from benchmark.models.runtime import Device
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import typed

BATCH = 4
Work = Callable[[Sequence[Any]], list[np.ndarray]]


def backbone(folder: Path) -> Work:
    """Return what gives the first map of each image."""
    context = Context(manifest=Manifest(dataset="none", samples=()), samples=(), store=Store(folder))
    settings = typed("pipeline=patchcore").pipeline.backbone  # type: ignore[attr-defined]
    weights = choose(context, Networks(wanted=settings.wanted()), pipeline="patchcore")["features"]
    network = settings.load(context, weights)
    return lambda images: [one.maps[0].numpy() for one in network.features(images)]


def windows() -> Work:
    """Return what gives the vectors of the windows of 2 x 2 patches of each image."""
    clip = Clip(load_clip("vit_b_16", weights=None, device="cpu"), device=Device(name="cpu"))
    return lambda images: list(
        window_vectors(clip, [squash(image, 96) for image in images], sizes=(2, 3), patches="none").windows[0]
    )


def compare(name: str, work: Work, images: Sequence[Any], rounds: int) -> None:
    """Measure both ways in turn, and print how much quicker batches are and how far the results differ."""
    ways: dict[str, Callable[[], list[np.ndarray]]] = {
        "together": lambda: work(images),
        "one by one": lambda: [work([image])[0] for image in images],
    }
    best = dict.fromkeys(ways, float("inf"))
    found = {way: run() for way, run in ways.items()}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            best[way] = min(best[way], time.perf_counter() - start)
    pairs = zip(found["together"], found["one by one"], strict=True)
    gap = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
    each = ", ".join(f"{way} {1000 * taken / len(images):.0f} ms an image" for way, taken in best.items())
    print(f"{name}: {each}; results differ by {gap:.1e} of the largest value")
    print(f"PERF batch_{BATCH}_over_1_{name} {best['one by one'] / best['together']:.2f}")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (256, 256, 3), dtype=np.uint8) for _ in range(BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        compare("backbone", backbone(Path(folder)), images, options.rounds)
    compare("windows", windows(), images, options.rounds)


if __name__ == "__main__":
    main()
