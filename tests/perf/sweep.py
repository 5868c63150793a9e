"""How much a sweep over cheap settings costs against one cold run; prints the ratios.

    python tests/perf/sweep.py [--images 600] [--seconds 0.2] [--tracking none]

One cold run, then the same point again with everything stored, then 10 areas × 10 top-K from an empty store,
each as the command line in a process of its own. The expensive stage sleeps: on a busy machine the sweep's own
work takes longer and the stage does not, so the ratios are upper bounds; user + system seconds are printed too.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.harness import ROOT, command

AREAS = [round(0.05 * i, 2) for i in range(1, 11)]
TOP_K = list(range(1, 11))


def timed(*words: str) -> tuple[float, float]:
    """Run the command line; return its wall and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = command(*words, seconds=None)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def common(folder: Path, place: str, options: argparse.Namespace) -> list[str]:
    """Return the words that all runs share; ``place`` keeps stores and results apart."""
    good = options.images // 2
    return [
        f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]",
        "dataset=sat",
        f"dataset.size={options.size}",
        f"dataset.n_good={good}",
        f"dataset.n_defective={options.images - good}",
        "dataset.n_train=4",
        "pipeline=slow_regions",
        "pipeline.count=20",
        f"pipeline.seconds={options.seconds}",
        f"pipeline.log={folder / place}.log",
        f"tracking={options.tracking}",
        f"run.data_root={folder / 'data'}",
        f"run.results_root={folder / place / 'results'}",
        f"run.cache_root={folder / place / 'cache'}",
    ]


def executed(log: Path) -> Counter[str]:
    """Count how often the expensive stage ran on each image."""
    return Counter(log.read_text().split())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--tracking", default="none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Generates the dataset, which no measured run is to pay for.
        timed(*common(folder, "first", options), "pipeline.seconds=0")
        cold, cold_cpu = timed(*common(folder, "cold", options))
        assert sorted(executed(folder / "cold.log").values()) == [1] * options.images
        warm, warm_cpu = timed(*common(folder, "cold", options), "pipeline.top_k=7")
        assert sum(executed(folder / "cold.log").values()) == options.images
        sweep, sweep_cpu = timed(
            "-m",
            *common(folder, "sweep", options),
            f"pipeline.max_area={','.join(map(str, AREAS))}",
            f"pipeline.top_k={','.join(map(str, TOP_K))}",
        )
        often = executed(folder / "sweep.log")
        results = list((folder / "sweep" / "results" / "runs").glob("*/result.json"))
        assert len(results) == len(AREAS) * len(TOP_K), f"{len(results)} results"
        assert len({json.loads(path.read_text())["digest"] for path in results}) == len(results)
        assert len(often) == options.images
    points = len(AREAS) * len(TOP_K)
    print(f"{options.images} images, stage of {options.seconds} s, {points} points, tracking {options.tracking}")
    print(f"cold run    {cold:8.2f} s wall  {cold_cpu:8.2f} s processor")
    print(f"warm point  {warm:8.2f} s wall  {warm_cpu:8.2f} s processor")
    print(f"sweep       {sweep:8.2f} s wall  {sweep_cpu:8.2f} s processor")
    quiet = (cold + sweep_cpu - cold_cpu) / cold
    print(
        f"on an idle machine about {quiet:.3f}: the cold run and the sweep's further processor time, over the cold run"
    )
    print(f"PERF stage_runs_per_image {sum(often.values()) / options.images:.3f}")
    print(f"PERF sweep100_over_cold_run {sweep / cold:.3f}")
    print(f"PERF warm_over_cold {warm / cold:.4f}")


if __name__ == "__main__":
    main()
