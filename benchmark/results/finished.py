"""What a run hands back when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.results.schema import RunResult


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that has ended: its folder, its result, and what happened on the way."""

    folder: Path
    result: RunResult
    reused: bool
    """The result was there before and ``run.overwrite=never`` kept it."""
    tracking_id: str | None = None
    tracking_error: str | None = None
    """Why the run could not be tracked; its files are whole all the same."""
    exported: tuple[str, ...] = ()
    """What was written as files of predictions, a line a form."""
