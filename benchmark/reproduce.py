"""Run a paper's table: every cell with its dataset, preset and protocol, and the paper's numbers beside ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.availability import Missing, dataset_name, extras_for, first_line, obstacles
from benchmark.compose import compose
from benchmark.config import options
from benchmark.errors import ConfigError, DataError
from benchmark.results.papers import Cell, Paper, PaperTable, cells
from benchmark.results.schema import RunResult


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One cell, and what stands in the way of running it."""

    cell: Cell
    missing: Missing | None = None
    n_images: int | None = None
    seconds: float | None = None
    """Expected, from earlier runs of the pipeline here; None: there is none."""
    result: RunResult | None = None
    """After the run."""


def plan(cell: Cell, *, extra: Sequence[str]) -> Planned:
    """Find out whether a cell can be run, without running anything.

    Args:
        cell: of a table.
        extra: settings from the command line.
    """
    return _planned(cell, obstacles([cell], extra=extra)[0], extra)


def _planned(cell: Cell, missing: Missing | None, extra: Sequence[str]) -> Planned:
    from benchmark.config import build

    if missing is not None or cell.row.parts:
        return Planned(cell=cell, missing=missing)
    try:
        config = build(*compose([*cell.overrides, *extras_for(cell, extra)]))
        manifest = config.dataset.manifest(config.run.data_root)
    except ConfigError as error:
        return Planned(cell=cell, missing=Missing(phrase=first_line(error)))
    except DataError as error:
        mend = f"make data DATASET={dataset_name(config.dataset, config.choices)} ARGS=verify"
        return Planned(cell=cell, missing=Missing(phrase=f"data not usable: {first_line(error)}", mend=mend))
    n_images = min(config.run.limit or len(manifest.test), len(manifest.test))
    seconds = seconds_per_image(config.run.results_root, cell.method.pipeline or "")
    return Planned(cell=cell, n_images=n_images, seconds=None if seconds is None else seconds * n_images)


def seconds_per_image(results_root: Path, pipeline: str) -> float | None:
    """Return the median wall seconds per image of this pipeline's earlier runs here that computed something."""
    from statistics import median

    from benchmark.results.files import RESULT

    found = []
    for path in (results_root / "runs").glob(f"*-{pipeline}-*/{RESULT}"):
        record = json.loads(path.read_text(encoding="utf-8"))
        measured, n = record["measured"], record["dataset"]["n_samples_effective"]
        stages = measured["samples_computed"]
        if record["choices"]["pipeline"] == pipeline and n and (not stages or max(stages.values()) >= n):
            found.append(measured["seconds"] / n)
    return median(found) if found else None


def run_cells(planned: Sequence[Planned], *, name: str, extra: Sequence[str]) -> list[Planned]:
    """Run every cell that can be run as one multirun; a cell that fails says why and the others go on.

    What the stage store holds is not computed again, so the same command goes on where it was stopped.
    """
    from dataclasses import replace

    done: list[Planned] = []
    if not any(one.missing is None and one.cell.overrides for one in planned):
        return list(planned)
    with _multirun(name, extra) as (folder, results_root):
        for number, one in enumerate(planned):
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
    planned = [_planned(cell, what, extra) for cell, what in zip(every, missing, strict=True)]
    return planned if dry else run_cells(planned, name=name, extra=extra)
