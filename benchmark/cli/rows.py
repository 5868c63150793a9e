"""``rows``: the images of a run as CSV, for a spreadsheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.cli.words import ResultsFolder, path, written_below
from benchmark.core.text import counted


def rows(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, its id, or the beginning of it.")],
    *,
    only: Annotated[
        Literal["wrong", "failed"] | None, typer.Option(help="wrong: misses and false alarms; failed: without answer.")
    ] = None,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[
        Path | None, typer.Option(parser=path, help="The CSV file.", show_default="beside the result")
    ] = None,
) -> int:
    """Write a run's images as CSV, each with what became of it: rows sat-patchcore [only=wrong] [out=FILE]."""
    from benchmark.core.errors import ResultsError
    from benchmark.report.compare import choose_run
    from benchmark.report.image_rows import csv_of, verdicts
    from benchmark.results import files
    from benchmark.results.at_address import is_copy

    folder = choose_run(run, results_root)
    table = files.read_rows(folder)
    judged = any(verdicts(table))
    if only == "wrong" and not judged:
        raise ResultsError(
            f"{folder.name} predicted no labels, so no image is right or wrong: a threshold makes them "
            f"(make decide RUNS={folder.name})"
        )
    text, count = csv_of(table, only=only)
    name = f"per_image_{only}.csv" if only else "per_image.csv"
    root = folder.absolute().parents[1]
    target = out or (written_below(root) / "exports" / folder.name if is_copy(root) else folder) / name
    files.write_atomically(target, text.encode(), setting="out")
    print(
        f"written: {target} "
        f"({counted(count, 'image')}{'' if judged else '; without predicted labels there is no verdict'})"
    )
    return 0
