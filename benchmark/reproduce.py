"""Run a paper's table: every cell with its dataset, preset and protocol, and the paper's numbers beside ours."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.availability import Missing, extras_for, obstacles
from benchmark.commands import reporting
from benchmark.compose import compose
from benchmark.errors import ConfigError
from benchmark.results.cell_plan import Planned, planned
from benchmark.results.papers import Cell, Paper, PaperTable, cells, choose_table, load_paper
from benchmark.results.schema import RunResult


def run_cells(plans: Sequence[Planned], *, name: str, extra: Sequence[str]) -> list[Planned]:
    """Run every cell that can be run as one multirun; a cell that fails says why and the others go on.

    What the stage store holds is not computed again, so the same command goes on where it was stopped.
    """
    done: list[Planned] = []
    if not any(one.missing is None and one.cell.overrides for one in plans):
        return list(plans)
    with _multirun(name, extra) as (folder, results_root):
        for number, one in enumerate(plans):
            if one.missing is not None or not one.cell.overrides:
                done.append(one)
                continue
            result = _run_cell(one.cell, number, extra, folder=folder, results_root=results_root)
            done.append(replace(one, missing=result) if isinstance(result, Missing) else replace(one, result=result))
    return done


def _run_cell(
    cell: Cell, number: int, extra: Sequence[str], *, folder: Path, results_root: Path
) -> RunResult | Missing:
    from benchmark import sweep
    from benchmark.results.files import read_result

    words = [*cell.overrides, *extras_for(cell, extra)]
    composed, choices = compose(words)
    sweep.run_point(composed, choices, number=number, overrides=words, thumbnails=True)
    record = json.loads((folder / "points" / f"{number:05d}.json").read_text(encoding="utf-8"))
    if "run" not in record:
        return Missing(
            phrase=f"failed: {str(record.get('message', record['status'])).splitlines()[0]}", mend=cell.command
        )
    return read_result(results_root / "runs" / record["run"])


@contextmanager
def _multirun(name: str, extra: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Open the folder and the parent run that the cells of one table share."""
    import shutil

    from benchmark import sweep
    from benchmark.config import option_settings

    composed = compose(general(extra))[0]
    results_root = Path(composed["run"]["results_root"])
    folder = results_root.resolve() / "sweeps" / name
    shutil.rmtree(folder / "points", ignore_errors=True)
    (folder / "points").mkdir(parents=True, exist_ok=True)
    before = os.environ.get(sweep.FOLDER_VARIABLE)
    os.environ[sweep.FOLDER_VARIABLE] = str(folder)
    tracker: Any = option_settings("tracking", composed["tracking"])
    tracker.start_sweep(name, results_root=results_root)
    try:
        yield folder, results_root
    finally:
        if before is None:
            os.environ.pop(sweep.FOLDER_VARIABLE, None)
        else:
            os.environ[sweep.FOLDER_VARIABLE] = before
        tracker.finish_sweep(folder, results_root=results_root, metrics={})


def general(extra: Sequence[str]) -> list[str]:
    """Return the settings that hold for a table as a whole, not for the dataset or pipeline of a cell."""
    return [o for o in extra if o.partition("=")[0].lstrip("+").partition(".")[0] in ("run", "tracking")]


def reproduce(paper: Paper, table: PaperTable, *, name: str, dry: bool, extra: Sequence[str]) -> list[Planned]:
    """Plan every cell of a table and, unless ``dry``, run those that can be run."""
    every = list(cells(paper, table))
    missing = obstacles(every, extra=extra)
    plans = [planned(cell, what, extra) for cell, what in zip(every, missing, strict=True)]
    return plans if dry else run_cells(plans, name=name, extra=extra)


@reporting
def main(arguments: list[str] | None = None) -> int:
    """Reproduce the tables of a paper: ``python -m benchmark.reproduce domain_gap 1 [dry_run] [key=value …]``."""
    from benchmark.results.paper_table import show_plan, show_table, write_table
    from benchmark.results.papers import paper_names

    known = ", ".join(paper_names())
    parser = argparse.ArgumentParser(prog="python -m benchmark.reproduce", description=main.__doc__)
    parser.add_argument("paper", nargs="?", help=f"one of: {known}")
    parser.add_argument("words", nargs="*", metavar="TABLE | dry_run | key=value", help="no table: all of the paper")
    chosen = parser.parse_args(arguments)
    extra = [w for w in chosen.words if "=" in w]
    plain = [w for w in chosen.words if "=" not in w]
    dry = "dry_run" in plain
    if chosen.paper is None:
        raise ConfigError(f"say which paper: make reproduce PAPER=… ({known})")
    paper = load_paper(chosen.paper)
    for number in [w for w in plain if w != "dry_run"] or list(paper.tables):
        table = choose_table(paper, number)
        name = f"{chosen.paper}-table-{number}"
        plans = reproduce(paper, table, name=name, dry=dry, extra=extra)
        if dry:
            show_plan(paper, table, plans)
        else:
            root = Path(compose(general(extra))[0]["run"]["results_root"])
            show_table(paper, table, plans)
            print("written:", write_table(root / "papers", name, paper, table, plans))
    return 0


if __name__ == "__main__":
    sys.exit(main())
