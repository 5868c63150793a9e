"""The table of a comparison, and its files: Markdown, CSV and LaTeX."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.errors import ResultsError, near_matches
from benchmark.core.table import Grid, csv_text, latex, markdown
from benchmark.core.text import counted
from benchmark.report.papers.comparison import Comparison, compare_published, compare_runs
from benchmark.report.ranks import compare_many
from benchmark.report.tables import number
from benchmark.results import files
from benchmark.scoring.metrics import registry

BOTH = ("mean", "pooled")


def grid(comparison: Comparison) -> Grid:
    """Lay a comparison out as a table, the means first."""
    ordered = sorted(comparison.lines, key=lambda line: (line.category not in BOTH, ""))
    rows = []
    for line in ordered:
        mark = " *" if line.significant else ""
        low, high = (_signed(v) if v is not None else "" for v in (line.low, line.high))
        span = f"[{low}, {high}]" if low and high else "–"
        gap = "–" if line.difference is None else f"{_signed(line.difference)}{mark}"
        cells = (registry.title(line.metric), line.category, number(line.first), number(line.second), gap, span)
        rows.append((*cells, _probability(line.p), _probability(line.p_holm), str(line.n or "–"), line.remark))
    columns = (
        "metric", "category", comparison.first, comparison.second, "difference", "interval", "p", "p (Holm)", "n",
        "remark",
    )  # fmt: skip
    title = f"{comparison.first} against {comparison.second}" + ("" if comparison.fair else " (not a fair comparison)")
    return Grid(title=title, columns=columns, rows=tuple(rows), notes=comparison.notes, left=frozenset({0, 1, 5, 9}))


def _signed(difference: float) -> str:
    """Four digits; a smaller difference, which may still be significant, does not look like none."""
    return f"{difference:+.0e}" if 0 < abs(difference) < 5e-5 else f"{difference:+.4f}"


def _probability(p: float | None) -> str:
    return "–" if p is None else f"{p:.4f}"


def run_folder(name: str, results_root: Path) -> Path | None:
    """Return the folder of a run given by path, id, or the beginning of an id; None where nothing fits.

    A reference result has its name only where no run of one's own begins like it; ``reference/NAME`` is always it.

    Raises:
        ResultsError: several runs begin like this.
    """
    for place in (Path(name), results_root / name, results_root / "runs" / name):
        if (place / files.RESULT).exists():
            return place
    there = (results_root / "runs").glob(f"*/{files.RESULT}")
    found = sorted(path.parent for path in there if path.parent.name.startswith(name))
    if len(found) > 1:
        raise ResultsError(
            f"{counted(len(found), 'run begins', 'runs begin')} with {name!r}: "
            f"{', '.join(map(_told, found[:5]))}; give more of the name"
        )
    reference = results_root / "reference" / name
    return found[0] if found else reference if (reference / files.RESULT).exists() else None


def _told(folder: Path) -> str:
    """Return a run's id with its data and time, by which people know it."""
    result = files.usable(folder / files.RESULT, lambda path: files.read_result(path.parent))
    return folder.name if result is None else f"{folder.name} ({result.data_label}, {result.measured.started[:16]})"


def choose_run(name: str, results_root: Path) -> Path:
    """Return the folder of a run as :func:`run_folder` does.

    Raises:
        ResultsError: several runs begin like this, or none does, or one that is not finished.
    """
    folder = run_folder(name, results_root)
    if folder is not None:
        return folder
    runs = sorted((results_root / "runs").glob("*"))
    begun = [path.name for path in runs if path.name.startswith(name) and not (path / files.RESULT).is_file()]
    if name and begun:
        raise ResultsError(
            f"{begun[0]} is not finished; the command that began it goes on, of a run in parts (run.shard) that of "
            "each part"
        )
    known = [path.name for path in runs if (path / files.RESULT).is_file()]
    raise ResultsError(f"no run {name!r} below {results_root}; {near_matches(name, known)}")


def compare(first: str, second: str, *, results_root: Path, force: bool) -> tuple[Grid, str]:
    """Compare a run with another one or with a published method.

    Args:
        first: a run: its folder, its id, or the beginning of it.
        second: likewise, or ``paper:method`` as in ``baselines/``.
        results_root: folder that holds ``runs/``.
        force: compare what is not comparable, and say so.

    Returns:
        The table, and a name for its files.

    Raises:
        ResultsError: no such run or method, or the two cannot be compared.
    """
    folder = choose_run(first, results_root)
    if ":" in second and run_folder(second, results_root) is None:
        comparison, other = compare_published(folder, second, force=force), second
    else:
        found = choose_run(second, results_root)
        comparison, other = compare_runs(folder, found, force=force), found.name
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in f"{folder.name}_{other}")[:180]
    return grid(comparison), stem


def compare_all(names: Sequence[str], *, results_root: Path) -> tuple[Grid, str]:
    """Rank the methods of three or more runs over the categories that they share.

    Args:
        names: runs by folder, id or the beginning of it.
        results_root: folder that holds ``runs/``.

    Raises:
        ResultsError: no such run, protocols differ, or too little is shared.
    """
    runs = [files.read_result(choose_run(name, results_root)) for name in names]
    stem = "ranks_" + hashlib.sha256("\n".join(sorted(r.id for r in runs)).encode()).hexdigest()[:12]
    return compare_many(runs), stem


def write(table: Grid, path: Path) -> Path:
    """Write a table as ``path`` with .md, .csv and .tex added; returns ``path``."""
    for suffix, text in ((".md", markdown(table)), (".csv", csv_text(table)), (".tex", latex(table))):
        files.write_atomically(path.with_name(f"{path.name}{suffix}"), text.encode())
    return path
