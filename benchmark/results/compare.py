"""``make compare``: the table of a comparison, on the terminal and as Markdown, CSV and LaTeX."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmark.commands import reporting
from benchmark.errors import ResultsError, near_matches
from benchmark.results import files
from benchmark.results.comparison import Comparison, compare_published, compare_runs
from benchmark.results.render import Grid, csv_text, latex, markdown, show
from benchmark.results.tables import number

BOTH = ("mean", "pooled")


def grid(comparison: Comparison) -> Grid:
    """Lay a comparison out as a table, the means first."""
    ordered = sorted(comparison.lines, key=lambda line: (line.category not in BOTH, ""))
    rows = []
    for line in ordered:
        mark = " *" if line.significant else ""
        low, high = (f"{v:+.4f}" if v is not None else "" for v in (line.low, line.high))
        span = f"[{low}, {high}]" if low and high else "–"
        gap = "–" if line.difference is None else f"{line.difference:+.4f}{mark}"
        cells = (line.metric, line.category, number(line.first), number(line.second), gap, span, str(line.n or "–"))
        rows.append((*cells, line.remark))
    columns = ("metric", "category", comparison.first, comparison.second, "difference", "interval", "n", "remark")
    title = f"{comparison.first} against {comparison.second}" + ("" if comparison.fair else " (not a fair comparison)")
    return Grid(title=title, columns=columns, rows=tuple(rows), notes=comparison.notes, left=frozenset({0, 1, 5, 7}))


def run_folder(name: str, results_root: Path) -> Path | None:
    """Return the folder of a run given by path, id, or the beginning of an id; None where nothing fits.

    Raises:
        ResultsError: several runs begin like this.
    """
    for place in (Path(name), results_root / "runs" / name, results_root / "reference" / name):
        if (place / files.RESULT).is_file():
            return place
    found = sorted({p.parent for p in (results_root / "runs").glob(f"{name}*/{files.RESULT}")})
    if len(found) > 1:
        raise ResultsError(
            f"{len(found)} runs begin with {name!r}: {', '.join(p.name for p in found[:5])}; give one whole"
        )
    return found[0] if found else None


def _choose(name: str, results_root: Path) -> Path:
    folder = run_folder(name, results_root)
    if folder is None:
        known = [p.name for p in (results_root / "runs").glob("*") if (p / files.RESULT).is_file()]
        raise ResultsError(f"no run {name!r} below {results_root}; {near_matches(name, known)}")
    return folder


@reporting
def main(arguments: list[str] | None = None) -> int:
    """Compare two runs, or a run and a published method (paper:method)."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.results.compare", description=main.__doc__)
    parser.add_argument("first", nargs="?", help="a run: its folder, its id, or the beginning of it")
    parser.add_argument("second", nargs="?", help="another run, or paper:method as in baselines/ (iap_as_2025:SAA+)")
    parser.add_argument("words", nargs="*", metavar="force", help="force: compare what is not comparable, and say so")
    parser.add_argument("--results-root", type=Path, default=Path(os.environ.get("RESULTS_ROOT", "results")))
    parser.add_argument("--out", type=Path, default=None, help="folder for the table as .md, .csv and .tex")
    chosen = parser.parse_args(arguments)
    if chosen.second is None:
        raise ResultsError(
            'name two runs, or a run and a published method: make compare RUNS="FIRST SECOND"; '
            f"the runs lie in {chosen.results_root / 'runs'}"
        )
    if set(chosen.words) - {"force"}:
        parser.error(f"{chosen.words[0]!r}: two runs are compared at a time; the only further word is force")
    folder = _choose(chosen.first, chosen.results_root)
    if ":" in chosen.second and run_folder(chosen.second, chosen.results_root) is None:
        comparison, other = compare_published(folder, chosen.second), chosen.second
    else:
        second = _choose(chosen.second, chosen.results_root)
        comparison, other = compare_runs(folder, second, force="force" in chosen.words), second.name
    table = grid(comparison)
    show(table)
    out = chosen.out or chosen.results_root / "comparisons"
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in f"{folder.name}_{other}")[:180]
    for suffix, text in ((".md", markdown(table)), (".csv", csv_text(table)), (".tex", latex(table))):
        files.write_atomically(out / f"{stem}{suffix}", text.encode())
    print(f"written: {out / stem}.md, .csv, .tex")
    return 0


if __name__ == "__main__":
    sys.exit(main())
