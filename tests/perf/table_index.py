"""What it costs to index a table of images: 20,000 rows, beside the time of hashing the same files' bytes.

Each measurement runs in a process of its own; the files are read once before, so that both find them in memory.

Usage: python tests/perf/table_index.py [number of images] [side of the images]
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.config.compose import compose
from benchmark.config.schema import option_settings


def build(root: Path, number: int, side: int) -> None:
    """Write different noise images, a fifth of them with a mask, and the table that lists them."""
    noise = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[5:20, 5:20] = 255
    rows = ["image;label;mask;category;group"]
    for at in range(number):
        image, truth = f"images/part{at % 100:02}/{at:05}.png", f"masks/{at:05}.png" if at % 5 == 0 else ""
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        noise[0, :4] = list(at.to_bytes(4, "little"))
        Image.fromarray(noise).save(root / image, compress_level=0)
        if truth:
            (root / truth).parent.mkdir(exist_ok=True)
            mask[20, 5 : 5 + at % 50] = 255
            Image.fromarray(mask).save(root / truth)
        rows.append(f"{image};{int(bool(truth))};{truth};part{at % 10};{at // 4}")
    (root / "parts.csv").write_text("\n".join(rows))
    old = time.time() - 60  # the index does not trust files that changed within its last two seconds
    for path in root.rglob("*.png"):
        os.utime(path, (old, old))


def index(root: Path) -> None:
    values = compose(["dataset=table", f"dataset.path={root / 'parts.csv'}"])[0]["dataset"]
    settings = option_settings("dataset", values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, used = time.perf_counter(), time.process_time()
    samples = settings.manifest(root).samples  # type: ignore[attr-defined]
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(samples) > 0
    print(seconds, used, peak)


def digest(root: Path) -> None:
    files = sorted(root.rglob("*.png"))
    start, used = time.perf_counter(), time.process_time()
    for path in files:
        hashlib.sha256(path.read_bytes()).hexdigest()
    print(time.perf_counter() - start, time.process_time() - used, 0)


def measured(word: str, root: Path, cache: Path) -> tuple[float, float, float]:
    """Return seconds, seconds of all cores and further resident memory (kB) of one measurement."""
    environment = {**os.environ, "BENCH_CACHE": str(cache)}
    command = [sys.executable, __file__, word, str(root)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, used, peak = map(float, out.split()[-3:])
    return seconds, used, peak


def main() -> None:
    number, side = (int(word) for word in (*sys.argv[1:], *("20000", "256")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        build(root, number, side)
        size = sum(path.stat().st_size for path in root.rglob("*.png")) / 1e9
        measured("--digest", root, root)
        hashes = [measured("--digest", root, root) for _ in range(2)]
        first = [measured("--index", root, Path(folder) / f"cache{at}") for at in range(2)]
        again = [measured("--index", root, Path(folder) / "cache0") for _ in range(2)]
    seconds, memory, cached = min(first)[0], max(peak for *_, peak in first) / 1e3, min(again)[0]
    work = min(used for _, used, _ in first) / min(used for _, used, _ in hashes)
    print(f"{number} images, {size:.2f} GB: {seconds:.2f} s, {memory:.0f} MB; again {cached:.2f} s")
    print(f"files hashed in {min(hashes)[0]:.2f} s")
    print(f"PERF index_{number}_s {seconds:.2f}")
    print(f"PERF index_{number}_again_s {cached:.2f}")
    print(f"PERF index_{number}_mb {memory:.0f}")
    print(f"PERF index_{number}_s_over_file_hash {seconds / min(hashes)[0]:.2f}")
    print(f"PERF index_{number}_cpu_over_file_hash {work:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in ("--index", "--digest"):
        (index if sys.argv[1] == "--index" else digest)(Path(sys.argv[2]))
    else:
        main()
