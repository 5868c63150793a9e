"""What the harness itself costs per image, and whether memory stays flat from 100 to 5,000 images; prints both.

    python tests/perf/overhead.py [--most 5000] [--side 128]

Each run is a process of its own, cold, with an expensive stage of no time; what is left is the harness: decoding,
storing, evaluation, intervals, writing the result. The fixed start of a process is told apart by the difference
between the smallest and the largest run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.harness import ROOT, command


def write_category(folder: Path, n: int, side: int) -> None:
    """Write a category in MVTec layout with n test images, half of them defective, all different."""
    rng = np.random.default_rng(0)
    parts = {name: folder / "toy" / name for name in ("train/good", "test/good", "test/spot", "ground_truth/spot")}
    for part in parts.values():
        part.mkdir(parents=True)
    noise = rng.integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(noise).save(parts["train/good"] / "000.png", compress_level=1)
    for i in range(n):
        image = np.roll(noise, (i // side, i % side), axis=(0, 1))
        kind = "spot" if i % 2 else "good"
        Image.fromarray(image).save(parts[f"test/{kind}"] / f"{i:05d}.png", compress_level=1)
        if i % 2:
            mask = np.zeros((side, side), dtype=np.uint8)
            y, x = rng.integers(0, side - side // 4, 2)
            mask[y : y + side // 4, x : x + side // 4] = 255
            Image.fromarray(mask).save(parts["ground_truth/spot"] / f"{i:05d}_mask.png", compress_level=1)


def run(folder: Path, images: Path, n: int, seconds: float) -> tuple[float, float, float]:
    """Carry out one cold run over n images; return wall seconds, seconds inside the stage, and peak memory in MB."""
    place = folder / f"{n}-{seconds}"
    start = time.perf_counter()
    done = command(
        *(f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]", "dataset=folder", f"dataset.path={images}"),
        *("pipeline=slow_regions", f"pipeline.seconds={seconds}", f"run.limit={n}"),
        folder=place,
        seconds=None,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    (path,) = (place / "results" / "runs").glob("*/result.json")
    measured = json.loads(path.read_text())["measured"]
    assert measured["samples_computed"] == {"slow": n}
    return wall, measured["seconds_per_stage"]["slow"], measured["peak_memory_mb"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--least", type=int, default=100)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    found: dict[int, tuple[float, float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_category(folder / "images", options.most, options.side)
        for n in sorted({options.least, min(1000, options.most), options.most}):
            found[n] = run(folder, folder / "images", n, 0.0)
            wall, stage, memory = found[n]
            print(f"{n:6d} images  {wall:7.2f} s wall  {stage:7.2f} s in the stage  {memory:7.1f} MB peak")
        slow = run(folder, folder / "images", options.least, 0.2)
        print(f"{options.least:6d} images  {slow[0]:7.2f} s wall  {slow[1]:7.2f} s in the stage of 0.2 s an image")
    few, many = found[options.least], found[options.most]
    per_image = ((many[0] - many[1]) - (few[0] - few[1])) / (options.most - options.least)
    print(f"PERF overhead_ms_per_image {1e3 * per_image:.3f}")
    print(f"PERF overhead_share_at_0.2s {per_image / 0.2:.4f}")
    print(f"PERF overhead_100_images_with_start_share {(slow[0] - slow[1]) / slow[0]:.4f}")
    print(f"PERF memory_{options.most}_over_{options.least} {many[2] / few[2]:.3f}")


if __name__ == "__main__":
    main()
