"""The plan of a paper's table: what stands in the way of each cell, how many images it takes, and how long."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmark.config.compose import compose
from benchmark.config.schema import build
from benchmark.core.errors import ConfigError, DataError, ResultsError
from benchmark.report.papers.availability import Missing, dataset_name, extras_for, first_line, obstacles
from benchmark.report.papers.paper import Cell
from benchmark.results.files import RESULT, read_result
from benchmark.results.schema import RunResult

log = logging.getLogger(__name__)


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
    return planned(cell, obstacles([cell], extra=extra)[0], extra)


def planned(cell: Cell, missing: Missing | None, extra: Sequence[str]) -> Planned:
    """Say what running a cell would take, given what keeps it from running."""
    if missing is not None or cell.row.parts:
        return Planned(cell=cell, missing=missing)
    try:
        config = build(*compose([*cell.overrides, *extras_for(cell, extra)]))
        manifest = config.dataset.manifest(config.run.data_root)
    except ConfigError as error:
        return Planned(cell=cell, missing=Missing(phrase=first_line(error)))
    except DataError as error:
        fix = f"make data DATASET={dataset_name(config.dataset, config.choices)} ARGS=verify"
        return Planned(cell=cell, missing=Missing(phrase=f"data not usable: {first_line(error)}", fix=fix))
    n_images = min(config.run.limit or len(manifest.test), len(manifest.test))
    seconds = seconds_per_image(config.run.results_root, cell.method.pipeline or "")
    return Planned(cell=cell, n_images=n_images, seconds=None if seconds is None else seconds * n_images)


def seconds_per_image(results_root: Path, pipeline: str) -> float | None:
    """Return the median wall seconds per image of this pipeline's earlier runs here that computed something."""
    found = []
    for path in (results_root / "runs").glob(f"*-{pipeline}-*/{RESULT}"):
        try:
            result = read_result(path.parent)
        except ResultsError as error:
            log.warning("left out: %s", first_line(error))
            continue
        n, stages = result.dataset.n_samples_effective, result.measured.samples_computed
        if result.choices["pipeline"] == pipeline and n and (not stages or max(stages.values()) >= n):
            found.append(result.measured.seconds / n)
    return median(found) if found else None
