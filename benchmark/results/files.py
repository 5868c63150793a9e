"""Result files: written whole or not at all, read with a clear error."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from benchmark.core.atomic import remove_leftovers, replacing
from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.results.replicates import REPLICATES
from benchmark.results.schema import RunResult

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
RESULT = "result.json"
ROWS = "per_image.parquet"
BREAKDOWN = "breakdown.json"


def ensure_writable(folder: Path) -> None:
    """Create ``folder`` and prove that it can be written to; raises ResultsError before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"the results folder {folder} cannot be written ({error.strerror}); "
            "give another one with run.results_root=… or fix its permissions"
        ) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file; no reader sees half of it. Raises ResultsError where the folder cannot be written."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise ResultsError(
            f"{path} cannot be written ({error.strerror}); free space or give run.results_root=…"
        ) from None


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put the per-image rows into a table whose columns do not depend on the values."""
    import pandas as pd

    flat = [{k: v for k, v in row.items() if k != "extra"} | dict(row.get("extra") or {}) for row in rows]
    return pd.DataFrame(flat)


def rows_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash the per-image rows (hex), independent of the parquet writer."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def write_run(folder: Path, result: RunResult, rows: Sequence[Mapping[str, Any]], replicates: bytes) -> None:
    """Write the per-image table and the replicates, then the result: a result file means that they are there.

    What a killed writer of the same run left is removed.
    """
    import io

    remove_leftovers(folder)
    buffer = io.BytesIO()
    rows_frame(rows).to_parquet(buffer, index=False)
    write_atomically(folder / ROWS, buffer.getvalue())
    write_atomically(folder / REPLICATES, replicates)
    write_atomically(folder / RESULT, result.model_dump_json(indent=1).encode() + b"\n")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong over a run's file (damaged, a folder in its place) into a ResultsError naming it."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "cannot be read").splitlines()[0]
        raise ResultsError(
            f"{path} is damaged or not what it should be ({type(error).__name__}: {reason}); remove it, or run the "
            "benchmark again with run.overwrite=always"
        ) from None


def usable(path: Path, read: Callable[[Path], Kind]) -> Kind | None:
    """Return what ``read`` makes of a file or folder; one that is damaged is named on stderr and left out."""
    try:
        with reading(path):
            return read(path)
    except ResultsError as error:
        print(f"left out: {str(error).splitlines()[0]}", file=sys.stderr)
        return None


def read_result(folder: Path) -> RunResult:
    """Read a run's result; raises ResultsError naming the file."""
    path = folder / RESULT
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ResultsError(f"{path} does not exist; run the benchmark first (make bench)") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read ({error.strerror}); move it away") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultsError(
            f"{path} is not a result file of this version ({place}: {first['msg']}); "
            "run.overwrite=only_missing writes it anew"
        ) from None


def write_breakdown(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's metrics by defect type, size and image (``benchmark.scoring.breakdown``), one row a value."""
    write_atomically(folder / BREAKDOWN, (json.dumps(rows, indent=0, ensure_ascii=False) + "\n").encode())


def read_breakdown(folder: Path) -> list[dict[str, Any]]:
    """Read what ``write_breakdown`` wrote; empty where a run has none, as points of sweeps and older runs."""
    path = folder / BREAKDOWN
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ResultsError(f"{path} is damaged ({error}); run the benchmark again") from None
    return rows


def read_rows(folder: Path) -> pd.DataFrame:
    """Read a run's per-image table; raises ResultsError naming the file."""
    import pandas as pd

    path = folder / ROWS
    if not path.exists():
        raise ResultsError(f"{path} does not exist; run the benchmark again with run.overwrite=always")
    with reading(path):
        if "id" not in (table := pd.read_parquet(path)):
            raise ValueError("it has no column id")
        return table
