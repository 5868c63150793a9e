"""``compare``: two runs, or a run and a published method, with paired intervals; ranks of more."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import ResultsFolder, path, refuse, written_below
from benchmark.core.errors import ResultsError


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIRST SECOND [MORE]",
            help="Runs by folder, id or the beginning of it, or paper:method; three or more are ranked.",
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Compare what is not comparable, and say so.")] = False,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(parser=path, help="Folder for the table as .md, .csv and .tex.")] = None,
) -> int:
    """Compare two runs, or a run and a published method: compare sat-a sat-b, compare mtd-saa_plus iap_as_2025:SAA+."""
    from benchmark.core.table import show
    from benchmark.report.compare import compare as compared
    from benchmark.report.compare import compare_all, write

    named = runs or []
    if len(named) == 3 and difflib.get_close_matches(named[2], ["force"]):
        refuse(named[2:], ["force"], what="a word of this command")
    if len(named) < 2:
        raise ResultsError(
            'name two runs, or a run and a published method: make compare RUNS="FIRST SECOND"; '
            f"the runs lie in {results_root / 'runs'}"
        )
    if len(named) > 2:
        table, stem = compare_all(named, results_root=results_root)
    else:
        table, stem = compared(named[0], named[1], results_root=results_root, force=force)
    show(table)
    print(f"written: {write(table, (out or written_below(results_root) / 'comparisons') / stem)}.md, .csv, .tex")
    return 0
