"""Build time, size and first view of reports: ``python tests/perf/report.py``.

One is over 2,000 images of one run, one over 300 runs and 5,000 images. The first view is the time from the start of
navigation until the frame with the answers and the leaderboard, whose filters work by then, is painted; the whole file
is read some time later. A filter's time is that of the slowest key from its press to the next frame on the screen, as
the browser's Event Timing has it (in steps of 8 ms; keys below 16 ms count as 0). All are wall time: a busy machine
shows in them.
"""

from __future__ import annotations

import shutil
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
from benchmark.results.replicates import REPLICATES
from tests.browser import CHROMIUM, Page, chromium_page
from tests.harness import SMALL_SAT, run

N = 2000
RUNS, IMAGES = 300, 5000
KEYS = ("r", "0", "Backspace", "z", "z", "Backspace")
"""What is typed into a search field: all that stands in it is selected before each Backspace."""
WATCH = """
(() => {
  const look = () => {
    const stands = document.querySelector("#board tbody tr") && document.getElementById("shown").textContent;
    const painted = () => { window.firstView = performance.now(); }; // called after the frame that shows it
    requestAnimationFrame(stands ? painted : look);
  };
  requestAnimationFrame(look);
  window.keys = [];
  new PerformanceObserver((list) => window.keys.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "event", durationThreshold: 16 });
})()
"""
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 150))))"


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


def enlarge(folder: Path, n: int = N) -> None:
    """Give a small run many rows and pictures."""
    rows, gallery = pd.read_parquet(folder / files.ROWS), pd.read_parquet(folder / GALLERY)
    at = [i % len(rows) for i in range(n)]
    names = [f"package/test/{i:05d}.png" for i in range(n)]
    rng = np.random.default_rng(1)
    many = rows.iloc[at].assign(id=names, image_score=rng.random(n), rationale="a dark line crosses the pad " * 8)
    many.to_parquet(folder / files.ROWS, index=False)
    gallery.iloc[at].assign(id=names, image=photographs(n)).to_parquet(folder / GALLERY, index=False)


def multiply(folder: Path, n: int) -> None:
    """Have a run stand for n: the others differ from it in a setting and in their values, and have no pictures."""
    result = files.read_result(folder)
    rng = np.random.default_rng(2)
    for at in range(1, n):
        config = {**result.config, "pipeline": {**result.config["pipeline"], "smoothing": at}}
        noise = rng.normal(0.0, 0.05, len(result.metrics))
        metrics = [
            m.model_copy(update={"value": float(np.clip(m.value + e, 0, 1))} if m.value is not None else {})
            for m, e in zip(result.metrics, noise, strict=True)
        ]
        other = result.model_copy(update={"id": f"{result.id}-{at}", "config": config, "metrics": metrics})
        place = folder.with_name(other.id)
        place.mkdir()
        (place / files.RESULT).write_text(other.sealed().model_dump_json())
        for name in (files.ROWS, files.BREAKDOWN, REPLICATES):
            if (folder / name).exists():
                shutil.copy(folder / name, place / name)


def first_view(page_file: Path) -> float:
    """Seconds from the start of navigation to the painted frame that shows the answers and the leaderboard."""
    return loading(page_file)[0]


def loading(page_file: Path) -> tuple[float, float]:
    """Seconds from the start of navigation to the first view, and until the whole file is read."""
    with chromium_page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.open(page_file.as_uri())
        first = page.until("window.firstView")
        read = page.run("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert page.complaints() == [] and len(page.requests()) == 1
        return float(first) / 1000, float(read) / 1000


def gallery_view(page_file: Path) -> float:
    """Seconds from scrolling to the images to the first of them being drawn."""
    with chromium_page() as page:
        page.open(page_file.as_uri())
        start = time.perf_counter()
        page.run("document.getElementById('gallery').scrollIntoView()")
        page.until("document.querySelector('.tile img')?.complete")
        return time.perf_counter() - start


def slowest_key(page: Page, field: str) -> float:
    """Milliseconds from a key's press to the next frame, of the slowest of ``KEYS`` in a search field."""
    page.run(f"document.getElementById({field!r}).focus()")
    page.run("window.keys.length = 0")
    for key in KEYS:
        if key == "Backspace":
            page.run(f"document.getElementById({field!r}).select()")
        page.key(key)
        page.run(PAINTED)
    return float(page.run("Math.max(0, ...window.keys)"))


def filters(page_file: Path) -> float:
    """Milliseconds of the slowest filter of the leaderboard, by one metric and by all, and of the images."""
    with chromium_page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.open(page_file.as_uri())
        by_metric = slowest_key(page, "search")
        page.run(
            "const d = document.getElementById('f-dataset'); d.selectedIndex = 1; d.dispatchEvent(new Event('input'))"
        )
        page.until("growing.values().every((makers) => !makers.length)")
        by_data = slowest_key(page, "search")
        page.run("document.getElementById('gallery').scrollIntoView()")
        page.until("document.querySelectorAll('.tile').length > 9")
        images = slowest_key(page, "g-search")
        assert page.complaints() == [] and len(page.requests()) == 1
        print(f"filters: by one metric {by_metric:.0f} ms, all metrics {by_data:.0f} ms, images {images:.0f} ms")
        return max(by_metric, by_data, images)


def many_runs() -> None:
    """Measure the page of 300 runs and 5,000 images."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        folder = run(root, *SMALL_SAT, "pipeline=reference_difference").folder
        multiply(folder, RUNS)
        enlarge(folder, IMAGES)
        page_file = root / "report.html"
        if command_line(["report", "--results-root", str(root / "results"), "--out", str(page_file)]):
            raise SystemExit(1)
        views, reads = (sorted(seconds) for seconds in zip(*(loading(page_file) for _ in range(3)), strict=True))
        print(f"PERF report_megabytes {page_file.stat().st_size / 1e6:.1f}")
        print(f"PERF report_first_view_s {views[1]:.2f}")
        print(f"PERF report_whole_s {reads[1]:.2f}")
        print(f"PERF report_filter_ms {filters(page_file):.0f}")


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
    many_runs()


if __name__ == "__main__":
    main()
