"""Run a paper's table: every cell with its dataset, preset and protocol, and the paper's numbers beside ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose
from benchmark.config.options import options
from benchmark.core.addresses import results_root_of
from benchmark.core.environment import variable_kept
from benchmark.core.errors import ConfigError
from benchmark.report.papers.availability import Missing, extras_for, obstacles
from benchmark.report.papers.cell_plan import Planned, planned
from benchmark.report.papers.paper import Cell, Paper, PaperTable, cells
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
    from benchmark.results.files import read_result
    from benchmark.running import sweep

    words = [*cell.overrides, *extras_for(cell, extra)]
    composed, choices = compose(words)
    sweep.run_point(composed, choices, number=number, overrides=words, thumbnails=True)
    record = json.loads((folder / "points" / f"{number:05d}.json").read_text(encoding="utf-8"))
    if "run" not in record:
        return Missing(
            phrase=f"failed: {str(record.get('message', record['status'])).splitlines()[0]}", fix=cell.command
        )
    return read_result(results_root / "runs" / record["run"])


@contextmanager
def _multirun(name: str, extra: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Open the folder and the parent run that the cells of one table share."""
    import shutil

    from benchmark.config.schema import option_settings
    from benchmark.running.point_records import FOLDER_VARIABLE

    composed = compose(general(extra))[0]
    results_root = results_root_of(composed)
    folder = results_root.resolve() / "sweeps" / name
    shutil.rmtree(folder / "points", ignore_errors=True)
    (folder / "points").mkdir(parents=True, exist_ok=True)
    tracker: Any = option_settings("tracking", composed["tracking"])
    tracker.start_sweep(name, results_root=results_root)
    try:
        with variable_kept(FOLDER_VARIABLE):
            os.environ[FOLDER_VARIABLE] = str(folder)
            yield folder, results_root
    finally:
        tracker.finish_sweep(folder, results_root=results_root, metrics={})


def general(extra: Sequence[str]) -> list[str]:
    """Return the settings that hold for a table as a whole, not for the dataset or pipeline of a cell."""
    return [o for o in extra if o.partition("=")[0].lstrip("+").partition(".")[0] in ("run", "tracking")]


def check_settings(paper: Paper, tables: Sequence[PaperTable], extra: Sequence[str]) -> None:
    """Refuse a setting that fits no cell, before any cell runs.

    Args:
        paper: of the tables.
        tables: that will be run.
        extra: settings from the command line.

    Raises:
        ConfigError: naming what comes near.
    """
    compose(general(extra))
    every = [cell for table in tables for cell in cells(paper, table)]
    known = [cell for cell in every if cell.overrides and cell.method.pipeline in options("pipeline")]
    for setting in set(extra) - set(general(extra)):
        of_data = setting.partition(".")[0] in ("dataset", *options("dataset"))
        runnable = {cell.overrides[0] if of_data else cell.method.pipeline: cell for cell in known}
        refused: ConfigError | None = None
        for cell in runnable.values():
            own = extras_for(cell, [setting])
            try:
                compose([*cell.overrides, *own])
            except ConfigError as error:
                refused = refused or error
                continue
            if own:
                break
        else:
            head = setting.partition("=")[0].partition(".")[0]
            raise refused or ConfigError(
                f"{setting}: no cell of these tables is of {head}; their pipelines: "
                + ", ".join(dict.fromkeys(str(cell.method.pipeline) for cell in known))
            )


def reproduce(paper: Paper, table: PaperTable, *, name: str, dry: bool, extra: Sequence[str]) -> list[Planned]:
    """Plan every cell of a table and, unless ``dry``, run those that can be run."""
    every = list(cells(paper, table))
    missing = obstacles(every, extra=extra)
    plans = [planned(cell, what, extra) for cell, what in zip(every, missing, strict=True)]
    return plans if dry else run_cells(plans, name=name, extra=extra)
