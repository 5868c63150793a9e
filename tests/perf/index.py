"""How much the cached index saves: 10,000 images in MVTec layout, indexed twice.

Prints seconds of both, the peak memory that indexing adds (Python and numpy allocations), and at twice the images.

Usage: python tests/perf/index.py [number of images] [side of the images]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.config.schema import option_settings


def build(root: Path, number: int, side: int) -> None:
    """Write ``number`` different noise images, a fifth of them defective with a mask."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (side, side), dtype=np.uint8)
    for i in range(number):
        defective = i % 5 == 0
        split, kind = ("test", "scratch") if defective else ("train", "good")
        path = root / f"cat{i % 10}" / split / kind / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise[0, :4] = list(i.to_bytes(4, "little"))
        Image.fromarray(noise).save(path, compress_level=0)
        if defective:
            mask = np.zeros((side, side), np.uint8)
            mask[5 : 20 + i % 9, 5:20] = 255
            target = root / f"cat{i % 10}" / "ground_truth" / kind / f"{i:05}_mask.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(target)
    # The index does not trust files that changed within its last two seconds.
    old = time.time() - 60
    for path in root.rglob("*.png"):
        os.utime(path, (old, old))


def index(root: Path) -> float:
    values = {
        "_target_": "benchmark.data.mvtec.MvtecLayout", "name": "folder", "path": str(root), "inner": None,
        "categories": None, "unit": "category", "split": "official", "split_seed": 0, "include_good": True,
        "subset": None, "allow_partial": False, "good_names": ["good"], "mask_suffixes": ["_mask"],
    }  # fmt: skip
    settings = option_settings("dataset", values)
    start = time.perf_counter()
    manifest = settings.manifest(root)  # type: ignore[attr-defined]
    seconds = time.perf_counter() - start
    assert len(manifest.samples) > 0
    return seconds


def measure(root: Path, cache: Path) -> dict[str, float]:
    """Index once cold and thrice cached in fresh processes, so that nothing but the index file is shared."""
    found: dict[str, float] = {}
    for name in ("first", "second", "second", "second", "memory"):
        if name == "memory":
            for file in cache.rglob("*.json"):
                file.unlink()
        environment = {**os.environ, "BENCH_CACHE": str(cache)}
        command = [sys.executable, __file__, f"--{name}", str(root)]
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        value = float(out.split()[-1])
        found[name] = min(value, found.get(name, value))
    return found


def main() -> None:
    number, side = (int(word) for word in (*sys.argv[1:], *("10000", "512")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        build(root, number, side)
        half_root = Path(folder) / "half"
        for path in sorted(root.rglob("*.png")):
            if int(path.name[:5]) < number // 2:
                link = half_root / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.hardlink_to(path)
        results = [measure(tree, Path(folder) / "cache") for tree in (half_root, root)]
        size = sum(p.stat().st_size for p in root.rglob("*.png")) / 1e9
        half, whole = results
        print(f"{number} images, {size:.2f} GB: first {whole['first']:.2f} s, cached {whole['second']:.3f} s")
        print(f"PERF index_first_seconds {whole['first']:.3f}")
        print(f"PERF index_second_seconds {whole['second']:.3f}")
        print(f"PERF index_first_over_second {whole['first'] / whole['second']:.1f}")
        print(f"PERF index_peak_kb_per_image {whole['memory'] / number:.2f}")
        growth = (whole["memory"] - half["memory"]) / (number - number // 2)
        print(f"PERF index_peak_kb_per_further_image {growth:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].startswith("--"):
        if sys.argv[1] == "--memory":
            import PIL.PngImagePlugin  # noqa: F401  # imported first: modules are not the index's memory

            tracemalloc.start()
            index(Path(sys.argv[2]))
            print(tracemalloc.get_traced_memory()[1] / 1e3)
        else:
            print(index(Path(sys.argv[2])))
    else:
        main()
