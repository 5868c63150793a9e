"""Published numbers: read from ``baselines/*.csv``, validated, with what cannot be relied on flagged."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from benchmark.core.errors import ResultsError, near_matches
from benchmark.core.resources import BASELINES
from benchmark.core.settings import Record
from benchmark.core.yaml_files import read_yaml
from benchmark.report.papers.consistency import impossible_pairs, wrong_totals
from benchmark.report.papers.published_row import PublishedRow

COLUMNS = (
    "paper", "table", "dataset", "category", "method", "metric", "value", "unit", "protocol", "flag", "source", "note",
)  # fmt: skip


class PublishedProtocol(Record):
    """How a paper measured, and the preset of ``conf/protocol`` that comes nearest."""

    title: str
    preset: str | None
    match: Literal["reading", "part", "none"]
    because: str


@functools.cache
def protocols(folder: Path = BASELINES) -> dict[str, PublishedProtocol]:
    """Read ``protocols.yaml``: published protocol -> what it is. Raises ResultsError naming the entry."""
    path = folder / "protocols.yaml"
    read = read_yaml(path)
    found = {}
    for name, values in read.items():
        try:
            found[name] = PublishedProtocol.model_validate(values)
        except ValidationError as error:
            raise ResultsError(f"{path}: {name}: {_first_problem(error)}") from None
    return found


@functools.cache
def published(folder: Path = BASELINES) -> tuple[PublishedRow, ...]:
    """Read and check every CSV of ``baselines/``; rows in the order of the files.

    Rows that cannot be right by arithmetic (``benchmark.report.papers.consistency``) carry the flag
    ``inconsistent`` whether or not the file says so.

    Raises:
        ResultsError: a column, value or unit is wrong, or a row stands twice; file and line are named.
    """
    rows: list[PublishedRow] = []
    for path in sorted(folder.glob("*.csv")):
        rows += read_csv(path, known_protocols=tuple(protocols(folder)))
    if not rows:
        raise ResultsError(f"{folder} holds no CSV of published numbers; restore it with: git checkout -- baselines")
    return tuple(flagged(rows))


def read_csv(path: Path, *, known_protocols: Sequence[str]) -> list[PublishedRow]:
    """Read one file of published numbers; raises ResultsError naming the line."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ResultsError(f"{path}: the columns must be {','.join(COLUMNS)}; found {reader.fieldnames}")
        rows: list[PublishedRow] = []
        seen: dict[tuple[str, ...], int] = {}
        for values in reader:
            row = _row(path, reader.line_num, values, known_protocols)
            first = seen.setdefault(_identity(row), reader.line_num)
            if first != reader.line_num:
                raise ResultsError(f"{path}:{reader.line_num}: the same cell as line {first}; remove one of them")
            rows.append(row)
    return rows


def flagged(rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Return the rows with those marked ``inconsistent`` that arithmetic refutes."""
    refuted = impossible_pairs(rows) | wrong_totals(rows)
    return [
        r if r not in refuted or r.flag == "inconsistent" else r.model_copy(update={"flag": "inconsistent"})
        for r in rows
    ]


def find(
    *,
    paper: str | None = None,
    table: str | None = None,
    dataset: str | None = None,
    category: str | None = None,
    method: str | None = None,
    metric: str | None = None,
    rows: Sequence[PublishedRow] | None = None,
) -> list[PublishedRow]:
    """Return the rows that agree with every given column."""
    wanted = {
        "paper": paper,
        "table": table,
        "dataset": dataset,
        "category": category,
        "method": method,
        "metric": metric,
    }
    given = {k: v for k, v in wanted.items() if v is not None}
    if rows is None:
        rows = published() if paper is None else _of_methods().get((paper, method), ())
    return [r for r in rows if all(getattr(r, k) == v for k, v in given.items())]


@functools.cache
def _of_methods() -> dict[tuple[str, str | None], list[PublishedRow]]:
    """Rows by paper and method, and by paper alone (method None): a table of a paper asks for each of its cells."""
    found: dict[tuple[str, str | None], list[PublishedRow]] = {}
    for row in published():
        for method in (row.method, None):
            found.setdefault((row.paper, method), []).append(row)
    return found


def _row(path: Path, line: int, values: dict[str, str], known_protocols: Sequence[str]) -> PublishedRow:
    try:
        row = PublishedRow.model_validate(values)
    except ValidationError as error:
        raise ResultsError(f"{path}:{line}: {_first_problem(error)}") from None
    if row.protocol not in known_protocols:
        near = near_matches(row.protocol, known_protocols)
        raise ResultsError(f"{path}:{line}: protocol {row.protocol!r} is not in protocols.yaml; {near}")
    if row.unit in ("fraction", "percent") and row.usable and not 0.0 <= row.value * row.scale <= 1.0:
        raise ResultsError(f"{path}:{line}: {row.printed} {row.unit} is outside 0 to 100 %; fix it or flag the row")
    return row


def _identity(row: PublishedRow) -> tuple[str, ...]:
    return (row.paper, row.table, row.dataset, row.category, row.method, row.metric, row.protocol)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "row"
    return f"{where}: {problem['msg']} (got {problem['input']!r})"
