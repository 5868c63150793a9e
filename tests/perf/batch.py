"""Batches of four over the same images one by one on a CPU, and whether decoding in threads leaves Python free.

    python tests/perf/batch.py [--rounds 5] [--threads 1]

The embedded feature network, and the windows of a CLIP ViT-B/16 with random weights on 96 pixels. The ways take turns,
and the quickest round of each counts, as other work on the machine slows both. On a GPU: ``tests/perf/gpu.py``.

Decoding: a thread counts while another decodes, and Python takes the lock from neither (``sys.setswitchinterval``), so
that it counts only where the decoder gives the lock away. What is told is its processor time over that of the decoder,
the middle of five: none beside a loop of Python, and some 1 beside ``zlib.decompress``, which works without the lock
(less or more where other work takes the processors).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmark.core.samples import Manifest
from benchmark.data.images import load_image
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


def beside(work: Callable[[], object]) -> float:
    """Processor time of a thread that counts and offers the lock after each step, over that of ``work`` beside it."""
    started, stopped, taken = threading.Event(), threading.Event(), [0.0]

    def count() -> None:
        started.set()
        begin = time.thread_time()
        while not stopped.is_set():
            for _ in range(2000):
                pass
            time.sleep(0)
        taken[0] = time.thread_time() - begin

    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=count)
        thread.start()
        started.wait()
        begin = time.thread_time()
        work()
        own = time.thread_time() - begin
        stopped.set()
        thread.join()
    finally:
        sys.setswitchinterval(before)
    return taken[0] / own


def decoding(folder: Path) -> None:
    """Print how much of the time in which images of 2000 x 2000 pixels are decoded the lock is free."""
    from PIL import Image

    draw = np.random.default_rng(0)
    flat = np.kron(draw.integers(0, 240, (125, 125, 3), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8))
    packed = zlib.compress(draw.integers(0, 40, 60_000_000, dtype=np.uint8).tobytes(), 1)

    def middle(work: Callable[[], object]) -> float:
        return sorted(beside(work) for _ in range(5))[2]

    loop, free = middle(lambda: sum(range(10_000_000))), middle(lambda: zlib.decompress(packed))
    print(f"a thread that counts, beside zlib.decompress: {free:.2f}, beside a loop of Python: {loop:.2f}")
    for kind in ("png", "jpg"):
        file = folder / f"image.{kind}"
        Image.fromarray(flat + draw.integers(0, 8, flat.shape, dtype=np.uint8)).save(file)
        load_image(file)
        print(f"PERF counting_beside_decoding_{kind} {middle(lambda file=file: load_image(file)):.2f}")  # type: ignore[misc]


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
        decoding(Path(folder))
        compare("backbone", backbone(Path(folder)), images, options.rounds)
    compare("windows", windows(), images, options.rounds)


if __name__ == "__main__":
    main()
