"""Result files: written whole or not at all, read with a clear error."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from benchmark.core.atomic import remove_leftovers, replacing
from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.core.settings import first_problem
from benchmark.results.replicates import REPLICATES
from benchmark.results.schema import RunResult

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Kind = TypeVar("Kind")
RESULT = "result.json"
ROWS = "per_image.parquet"
BREAKDOWN = "breakdown.json"
GROUP = 8192
"""Rows of the per-image table that are held at a time."""


def ensure_writable(folder: Path, *, setting: str = "run.results_root") -> None:
    """Create ``folder`` and prove that it can be written to; raises ResultsError before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error, setting=setting) from None


def unwritable(place: Path, error: OSError, *, setting: str = "run.results_root") -> ResultsError:
    """Return what is said of a place that cannot be written, and which word of the command line gives another one."""
    first = {errno.ENOSPC: "free space or ", errno.EDQUOT: "free space or ", errno.EACCES: "fix its permissions or "}
    return ResultsError(
        f"{place} cannot be written ({error.strerror}); "
        f"{first.get(error.errno or 0, '')}give another place: {setting}=…"
    )


def write_atomically(
    path: Path, content: bytes | Iterable[bytes | memoryview], *, setting: str = "run.results_root"
) -> None:
    """Write a file, as a whole or in pieces; no reader sees half of it.

    Raises ResultsError where the folder cannot be written, which names the ``setting`` that chose it.
    """
    try:
        with replacing(path) as file:
            for piece in (content,) if isinstance(content, bytes) else content:
                file.write(piece)
    except OSError as error:
        raise unwritable(path, error, setting=setting) from None


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


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a per-image table as parquet, ``GROUP`` rows at a time.

    Raises:
        ResultsError: the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, pa.DataType] = {}
    for number, start in enumerate(range(0, max(1, len(rows)), GROUP)):
        _widen(kinds, pa.Schema.from_pandas(rows_frame(rows[start : start + GROUP]), preserve_index=False), number == 0)
    schema = pa.schema(list(kinds.items()))
    try:
        with replacing(path) as file, pq.ParquetWriter(file, schema) as writer:
            for start in range(0, len(rows), GROUP):
                frame = rows_frame(rows[start : start + GROUP]).reindex(columns=schema.names)
                writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
    except OSError as error:
        raise unwritable(path, error) from None


def _widen(kinds: dict[str, pa.DataType], schema: pa.Schema, first: bool) -> None:
    """Widen column types to those of further rows, as one table of all rows would have them."""
    import pyarrow as pa

    known = {field.name: field.type for field in schema}
    for name in dict.fromkeys([*kinds, *known]):
        here = known.get(name, pa.null())
        there = here if first else kinds.get(name, pa.null())
        if here == there:
            kinds[name] = here
            continue
        both = {here, there} - {pa.null()}
        # whole numbers of which some are missing are floats in a table of pandas
        whole = pa.int64() in both and (len(both) == 1 or pa.float64() in both)
        kinds[name] = pa.float64() if whole else next(iter(both))


def write_run(
    folder: Path, result: RunResult, rows: Sequence[Mapping[str, Any]], replicates: Iterable[bytes | memoryview]
) -> None:
    """Write the per-image table and the replicates, then the result: a result file means that they are there.

    What a killed writer of the same run left is removed.
    """
    remove_leftovers(folder)
    write_rows(folder / ROWS, rows)
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
        raise ResultsError(
            f"{path} is not a result file of this version ({first_problem(error)}); "
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


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a run's per-image table, or those of some columns that it has; raises ResultsError naming the file."""
    import pandas as pd

    path = folder / ROWS
    if not path.exists():
        fix = "a reference result holds values alone, a run of your own has it"
        if path.parent.parent.name != "reference":
            fix = "run the benchmark again with run.overwrite=always"
        raise ResultsError(f"{path} does not exist; {fix}")
    with reading(path):
        import pyarrow.parquet as pq

        if "id" not in (names := pq.read_schema(path).names):
            raise ValueError("it has no column id")
        return pd.read_parquet(path, columns=None if columns is None else [name for name in columns if name in names])
