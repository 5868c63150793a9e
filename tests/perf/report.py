"""Build time, size and first view of a report over 2,000 images: ``python tests/perf/report.py``.

The first view is the time until Chromium has the whole file parsed and its first frame painted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmark.cli.main import main as command_line
from benchmark.results import files
from benchmark.results.gallery import GALLERY, SIDE, encode
from tests.browser import CHROMIUM, chromium_page
from tests.harness import SMALL_SAT, run

N = 2000


def photographs(n: int) -> list[bytes]:
    """Textured pictures that compress like photographs of surfaces, as WebP."""
    import cv2

    rng = np.random.default_rng(0)
    found = []
    for _ in range(n):
        coarse = cv2.resize(
            rng.integers(40, 200, (12, 12, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
        )
        grain = rng.integers(-14, 15, (SIDE, SIDE, 1))
        found.append(encode(np.clip(coarse.astype(int) + grain, 0, 255).astype(np.uint8), ".webp"))
    return found


def enlarge(folder: Path) -> None:
    """Give a small run 2,000 rows and pictures."""
    rows, gallery = pd.read_parquet(folder / files.ROWS), pd.read_parquet(folder / GALLERY)
    at = [i % len(rows) for i in range(N)]
    names = [f"package/test/{i:05d}.png" for i in range(N)]
    rng = np.random.default_rng(1)
    many = rows.iloc[at].assign(id=names, image_score=rng.random(N), rationale="a dark line crosses the pad " * 8)
    many.to_parquet(folder / files.ROWS, index=False)
    gallery.iloc[at].assign(id=names, image=photographs(N)).to_parquet(folder / GALLERY, index=False)


def first_view(page_file: Path) -> float:
    """Seconds from the start of loading to the first painted frame, as the browser measured them."""
    with chromium_page() as page:
        page.open(page_file.as_uri())
        script = "Math.max(performance.timing.loadEventEnd - performance.timing.navigationStart,"
        script += " performance.getEntriesByType('paint').at(-1)?.startTime ?? 0)"
        page.until("performance.timing.loadEventEnd > 0")
        assert page.complaints() == []
        return float(page.run(script)) / 1000


def gallery_view(page_file: Path) -> float:
    """Seconds from scrolling to the images to the first of them being drawn."""
    with chromium_page() as page:
        page.open(page_file.as_uri())
        start = time.perf_counter()
        page.run("document.getElementById('gallery').scrollIntoView()")
        page.until("document.querySelector('.tile img')?.complete")
        return time.perf_counter() - start


def main() -> None:
    """Measure once and print."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        enlarge(run(root, *SMALL_SAT, "pipeline=reference_difference").folder)
        page_file = root / "report.html"
        start = time.perf_counter()
        if command_line(["report", "--results-root", str(root / "results"), "--out", str(page_file)]):
            raise SystemExit(1)
        print(f"PERF report2000_build_seconds {time.perf_counter() - start:.2f}")
        print(f"PERF report2000_megabytes {page_file.stat().st_size / 1e6:.2f}")
        if CHROMIUM is None:
            print("no Chromium: the first view is not measured")
            return
        views = sorted(first_view(page_file) for _ in range(3))
        print(f"PERF report2000_first_view_seconds {views[1]:.2f}")
        print(f"PERF report2000_images_drawn_seconds {gallery_view(page_file):.2f}")


if __name__ == "__main__":
    main()
