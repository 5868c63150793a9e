"""How often the swap test and the interval see a better run: ``python tests/perf/power.py [trials]`` prints it.

Both judge the same pairs of runs. ``level`` is the share of equal runs that each stars at p <= 0.05, ``power`` that of
better ones, and ``power_at_level`` the power with the cut moved to where the test stars 5 % of equal runs: a test that
stars too often owes part of its power to that. Means over the metrics of ``tests/null_world.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.null_world import both_tests, power_at_level

SIZES = ((2, 8), (5, 5), (5, 20), (10, 20), (30, 60))
BETTER = 0.6
"""By how much the better run lifts defects, in standard deviations of an image's ease."""


def main(trials: int) -> None:
    """Print level and power of both tests by size."""
    for bad, good in SIZES:
        null = both_tests(bad=bad, good=good, trials=trials, better=0.0, seed=1)
        other = both_tests(bad=bad, good=good, trials=trials, better=BETTER, seed=2)
        for test in ("swap", "interval"):
            found = {
                "level": float(np.mean(null[test] <= 0.05)),
                "power": float(np.mean(other[test] <= 0.05)),
                "power_at_level": power_at_level(null[test], other[test]),
            }
            for name, value in found.items():
                print(f"PERF {test}_{name}_{bad}+{good} {value:.3f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
