"""How often 95 % intervals hold the truth, at every size: ``python tests/perf/interval_coverage.py [trials]``.

Images are drawn from a world whose metrics are known (``tests/coverage_world.py``) and go through the whole
evaluation; each cell is over all metrics, with the least one named.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.coverage_world import means, single, summary

SINGLE = ((10, 0.3), (30, 0.05), (30, 0.3), (100, 0.05), (100, 0.3), (300, 0.05), (300, 0.3))
MEANS = ((50, 1, 7), (15, 2, 8), (15, 5, 10), (15, 20, 20), (5, 30, 60))


def report(name: str, found: dict[str, list[bool | None]]) -> None:
    """Print one cell."""
    rates, covered, without = summary(found)
    for metric, rate in rates.items():
        print(f"  {name} {metric} {rate:.3f}")
    least = min(rates, key=lambda m: rates[m], default=None)
    remark = f"least {least} {rates[least]:.3f}, " if least else ""
    print(f"PERF coverage_{name} {covered:.3f} ({remark}no interval in {without:.0%})", flush=True)


def main(trials: int) -> None:
    """Print every cell."""
    for n, share in SINGLE:
        report(f"{n}_{round(100 * share)}", single(n=n, share=share, trials=trials))
    for categories, bad, good in MEANS:
        report(f"mean_{categories}x{bad}+{good}", means(categories=categories, bad=bad, good=good, trials=trials // 2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
