"""Whether memory and time an image stay flat from 1,000 to 100,000 images: indexed, scored, kept and tracked.

    python tests/perf/scale.py [--sizes 1000,5000,10000,100000] [--pipelines constant,reference_difference]
                               [--folder FOLDER that is kept] [--scored-only] [settings of the runs]

Generated images (32 × 32 grey, four categories, a tenth defective) are indexed and scored by the whole command line
with its defaults, each number of images in a process of its own, cold. Memory is the peak of the process. Seconds are
those of the processor, so that what else runs on the machine does not count; the ratio is of the seconds that further
images take beyond those of the smallest run. ``--scored-only`` leaves out files, indexing and tracking: generated
answers (constant ones, and noise maps) are scored, and what a run keeps is written.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIDE, CATEGORIES, TRAIN, EVERY, KINDS = 32, 4, 24, 10, 40
"""Pixels a side, categories, training images of each, how many images come on one that is defective, and how many
images are drawn; all others differ from one of those in a few pixels."""
SIZES = (1_000, 5_000, 10_000, 100_000)
KINDS_OF_ANSWERS = ("constant", "maps")
"""Answers that are generated for ``--scored-only``."""
MOST_MEMORY, MOST_SECONDS = 1.1, 1.2
"""How much 100,000 images may take of what 5,000 take: peak memory, and seconds an image."""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    """Of the processor."""
    megabytes: float


def write_images(root: Path, number: int) -> None:
    """Write ``number`` different test images in MVTec layout, as PGM, which is written fastest."""
    random = np.random.default_rng(0)
    header = b"P5 %d %d 255\n" % (SIDE, SIDE)
    folders = {
        (c, part): root / f"part{c}" / part
        for c in range(CATEGORIES)
        for part in ("train/good", "test/good", "test/spot", "ground_truth/spot")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    kinds = [_pair(random, level) for level in range(KINDS)]
    for i in range(number + CATEGORIES * TRAIN):
        good, spot, mask = kinds[i % KINDS]
        at, train = i % CATEGORIES, i >= number
        defective = not train and i // CATEGORIES % EVERY == 0
        if defective:
            (folders[at, "ground_truth/spot"] / f"{i:07}_mask.pgm").write_bytes(header + mask)
        part = "train/good" if train else "test/spot" if defective else "test/good"
        pixels = i.to_bytes(4, "little") + (spot if defective else good)[4:]
        (folders[at, part] / f"{i:07}.pgm").write_bytes(header + pixels)


def _pair(random: np.random.Generator, level: int) -> tuple[bytes, bytes, bytes]:
    """Make a good image, the same with a spot, and the spot's mask."""
    image = random.integers(90, 110, (SIDE, SIDE), dtype=np.uint8)
    y, x = random.integers(4, SIDE - 5, 2)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + 5, x : x + 5] = 255
    return image.tobytes(), np.where(mask > 0, image + np.uint8(10 + level), image).tobytes(), mask.tobytes()


def run(images: Path, place: Path, pipeline: str, words: Sequence[str] = ()) -> Cost:
    """Index and score the images in a new process with nothing kept from earlier ones."""
    command = [
        *(sys.executable, "-m", "benchmark", "dataset=folder", f"dataset.path={images}", f"pipeline={pipeline}"),
        *(f"run.results_root={place / 'results'}", f"run.cache_root={place / 'cache'}", *words),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (place / "told.txt").open("w") as told:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((place / "told.txt").read_text())
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def score(place: Path, number: int, kind: str) -> Cost:
    """Score generated answers without files in a new process: what is left is the counting, and what a run keeps."""
    command = [sys.executable, __file__, "--one", kind, "--sizes", str(number), "--folder", str(place)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def score_one(folder: Path, number: int, kind: str) -> None:
    """Score and keep, in this process."""
    sys.path.insert(0, str(ROOT))
    from tests.generated_images import evaluated, kept

    kept(evaluated(number, maps=kind == "maps", resamples=1000), folder)


def main() -> None:
    """Measure, print, and fail where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--pipelines", default="constant,reference_difference")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--scored-only", action="store_true")
    parser.add_argument("--one", choices=KINDS_OF_ANSWERS)
    args, words = parser.parse_known_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.one:
        score_one(args.folder, sizes[0], args.one)
        return
    pipelines = KINDS_OF_ANSWERS if args.scored_only else args.pipelines.split(",")
    costs: dict[tuple[str, int], Cost] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        folder = args.folder or Path(temporary)
        for size, pipeline in itertools.product(sizes, pipelines):
            images, place = folder / f"images-{size}", folder / f"{pipeline}-{size}"
            place.mkdir(parents=True)
            if not args.scored_only and not images.exists():
                write_images(images, size)
            cost = score(place, size, pipeline) if args.scored_only else run(images, place, pipeline, words)
            costs[pipeline, size] = cost
            print(
                f"{pipeline}, {size} images: {cost.seconds:.1f} s ({1e3 * cost.seconds / size:.2f} s a 1,000), "
                f"{cost.megabytes:.0f} MB",
                flush=True,
            )
    if len(sizes) < 3:
        return
    first, low, high = sizes[0], sizes[1], sizes[-1]
    memory = {p: costs[p, high].megabytes / costs[p, low].megabytes for p in pipelines}
    seconds = {p: _more(costs, p, first, high) / _more(costs, p, first, low) for p in pipelines}
    for pipeline in pipelines:
        print(f"{pipeline}: memory {memory[pipeline]:.3f}, seconds a 1,000 {seconds[pipeline]:.3f}")
    print(f"PERF memory_{_short(high)}_over_{_short(low)} {max(memory.values()):.3f}")
    print(f"PERF s_per_1000_{_short(high)}_over_{_short(low)} {max(seconds.values()):.3f}")
    if max(memory.values()) > MOST_MEMORY or max(seconds.values()) > MOST_SECONDS:
        raise SystemExit(f"more than {MOST_MEMORY} times the memory, or {MOST_SECONDS} times the seconds an image")


def _more(costs: Mapping[tuple[str, int], Cost], pipeline: str, first: int, size: int) -> float:
    """Seconds for each further image beyond the smallest run, which pays the start of a process alike."""
    return (costs[pipeline, size].seconds - costs[pipeline, first].seconds) / (size - first)


def _short(size: int) -> str:
    return f"{size // 1000}k"


if __name__ == "__main__":
    main()
