"""Time of a report of 300 runs, new and unchanged, and of its first view: ``python tests/perf/report_runs.py``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import CHROMIUM
from tests.harness import SMALL_SAT
from tests.perf.report import first_view
from tests.perf.sweep import timed

RUNS = 300


def main() -> None:
    """Measure once and print."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["BENCH_CACHE"] = str(Path(place) / "cache")
        root = Path(place) / "results"
        words = (*SMALL_SAT, "pipeline=reference_difference", f"run.seed=range(0,{RUNS})", "tracking=none")
        timed("--multirun", *words, f"run.results_root={root}")
        (root / "sweeps").rename(Path(place) / "sweeps")  # points of a sweep share one table; these are runs
        for name in ("new", "unchanged"):
            wall, _ = timed("report", "--results-root", str(root))
            print(f"PERF report{RUNS}runs_{name}_seconds {wall:.2f}", flush=True)
        if CHROMIUM is not None:
            views = sorted(first_view(root / "report.html") for _ in range(3))
            print(f"PERF report{RUNS}runs_first_view_seconds {views[1]:.2f}")


if __name__ == "__main__":
    main()
