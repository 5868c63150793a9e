"""How often a comparison stars equal runs, and better ones: ``python tests/perf/null.py [trials]`` prints it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.null_world import false_tables, rejections

SIZES = ((1, 7), (2, 8), (3, 7), (5, 5), (10, 20), (30, 60))


def main(trials: int) -> None:
    """Print rejection rates at 5 % by size, and false stars of whole tables."""
    for bad, good in SIZES:
        null = rejections(bad=bad, good=good, trials=trials)
        most = max(null, key=lambda name: null[name])
        mean = sum(null.values()) / len(null)
        print(f"PERF null_{bad}+{good} {mean:.3f} (most {most} {null[most]:.3f})", flush=True)
        power = rejections(bad=bad, good=good, trials=max(1, trials // 4), better=0.6)
        print(f"PERF power_{bad}+{good} {sum(power.values()) / len(power):.3f}", flush=True)
    corrected, plain = false_tables(categories=15, bad=5, good=10, trials=max(1, trials // 10))
    print(f"PERF null_table_15x8_holm {corrected:.3f} (not corrected {plain:.3f})", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
