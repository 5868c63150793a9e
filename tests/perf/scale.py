"""Whether memory and time an image stay flat from 1,000 to 100,000 images: indexed, scored, kept and tracked.

    python tests/perf/scale.py [--sizes 1000,5000,10000,100000] [--pipelines constant,reference_difference]
                               [--folder FOLDER that is kept]

Generated images (32 × 32 grey, four categories, a tenth defective) are indexed and scored by the whole command line
with its defaults, each number of images in a process of its own, cold. Memory is the peak of the process: a number of
images takes its start-up with it, which is told apart. Seconds are wall time without the start-up of the process, as
the smallest run has it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIDE, CATEGORIES, TRAIN, EVERY = 32, 4, 24, 10
"""Pixels a side, categories, training images of each, and how many images come on one that is defective."""
SIZES = (1_000, 5_000, 10_000, 100_000)
MOST_MEMORY, MOST_SECONDS = 1.1, 1.2
"""How much 100,000 images may take of what 5,000 take: peak memory, and seconds an image."""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    megabytes: float


def write_images(root: Path, number: int) -> None:
    """Write ``number`` different test images in MVTec layout, as PGM, which is written fastest."""
    random = np.random.default_rng(0)
    base = random.integers(90, 110, (SIDE, SIDE), dtype=np.uint8)
    header = b"P5 %d %d 255\n" % (SIDE, SIDE)
    folders = {
        (c, part): root / f"part{c}" / part
        for c in range(CATEGORIES)
        for part in ("train/good", "test/good", "test/spot", "ground_truth/spot")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    for i in range(number + CATEGORIES * TRAIN):
        image = base.copy()
        image.ravel()[random.integers(0, SIDE * SIDE, 16)] += random.integers(1, 9, 16, dtype=np.uint8)
        image[0, :4] = list(i.to_bytes(4, "little"))
        at, train = i % CATEGORIES, i >= number
        defective = not train and i // CATEGORIES % EVERY == 0
        if defective:
            y, x = random.integers(4, SIDE - 5, 2)
            image[y : y + 5, x : x + 5] += np.uint8(10 + i % 40)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[y : y + 5, x : x + 5] = 255
            (folders[at, "ground_truth/spot"] / f"{i:07}_mask.pgm").write_bytes(header + mask.tobytes())
        part = "train/good" if train else "test/spot" if defective else "test/good"
        (folders[at, part] / f"{i:07}.pgm").write_bytes(header + image.tobytes())


def run(images: Path, place: Path, pipeline: str, words: Sequence[str] = ()) -> Cost:
    """Index and score the images in a new process with nothing kept from earlier ones."""
    command = [
        *(sys.executable, "-m", "benchmark", "dataset=folder", f"dataset.path={images}", f"pipeline={pipeline}"),
        *(f"run.results_root={place / 'results'}", f"run.cache_root={place / 'cache'}", *words),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    start = time.perf_counter()
    with (place / "told.txt").open("w") as told:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((place / "told.txt").read_text())
    return Cost(time.perf_counter() - start, used.ru_maxrss / 1e3)


def main() -> None:
    """Measure, print, and fail where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--pipelines", default="constant,reference_difference")
    parser.add_argument("--folder", type=Path)
    args, words = parser.parse_known_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        folder = args.folder or Path(temporary)
        costs: dict[tuple[str, int], Cost] = {}
        for size in sizes:
            images = folder / f"images-{size}"
            if not images.exists():
                write_images(images, size)
            for pipeline in args.pipelines.split(","):
                place = folder / f"{pipeline}-{size}"
                place.mkdir()
                cost = costs[pipeline, size] = run(images, place, pipeline, words)
                print(
                    f"{pipeline}, {size} images: {cost.seconds:.1f} s ({1e3 * cost.seconds / size:.2f} s a 1,000), "
                    f"{cost.megabytes:.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
