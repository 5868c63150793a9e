"""The questions of a run beside its result, so that it can be tracked later, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.core.traces import Trace
from benchmark.results.files import reading, write_atomically

TRACES = "questions.jsonl"


def write_traces(folder: Path, traces: Sequence[Trace]) -> None:
    """Write the questions of a run, one a line; without any, what an earlier run left is removed."""
    if traces:
        write_atomically(folder / TRACES, "".join(trace.model_dump_json() + "\n" for trace in traces).encode())
    else:
        (folder / TRACES).unlink(missing_ok=True)


def read_traces(folder: Path, most: int) -> list[Trace]:
    """Read the first questions of a run; none where it has no such file. Raises ResultsError for a damaged one."""
    path = folder / TRACES
    if not path.exists():
        return []
    with reading(path), path.open(encoding="utf-8") as lines:
        return [Trace.model_validate_json(line) for _, line in zip(range(most), lines, strict=False)]
