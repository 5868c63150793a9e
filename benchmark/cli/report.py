"""``report``: one HTML file of all runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import ResultsFolder, path, written_below
from benchmark.core.text import counted


def report(
    *,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[
        Path | None, typer.Option(parser=path, help="The file.", show_default="RESULTS_ROOT/report.html")
    ] = None,
    megabytes: Annotated[float | None, typer.Option(help="Most megabytes of pictures.")] = None,
) -> int:
    """Write one HTML file of all runs, sweeps and images, to open without a server."""
    from benchmark.report.page import MEGABYTES, page_of
    from benchmark.results import files

    count, points, page = page_of(results_root, megabytes=MEGABYTES if megabytes is None else megabytes)
    target = out or written_below(results_root) / "report.html"
    files.write_atomically(target, page.encode(), setting="out" if out else "results_root")
    within = f" and {counted(points, 'point')} of sweeps" if points else ""
    print(f"{counted(count, 'run')}{within}, {len(page) / 1e6:.1f} MB: {target.resolve().as_uri()}")
    return 0
