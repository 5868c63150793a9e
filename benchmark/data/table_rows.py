"""Rows of a table that a person or a program wrote: CSV, JSON lines or Parquet, as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import DataError, near_matches

TRUE = frozenset({"1", "1.0", "true", "yes", "nok", "ng", "ko", "defective", "defect", "bad", "anomalous", "anomaly"})
FALSE = frozenset({"0", "0.0", "false", "no", "ok", "good", "normal"})
"""Words of a label: defective, or good."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row, with the place that an error names."""

    where: str
    values: Mapping[str, str]
    """Kind of column to its text without spaces around; "" where nothing stands."""

    def text(self, kind: str) -> str:
        """Return what stands in a column; "" where there is no such column."""
        return self.values.get(kind, "")

    def label(self) -> bool | None:
        """Return True for defective, False for good, None where nothing stands; raises DataError for another word."""
        word = self.text("label").casefold()
        if word and word not in TRUE | FALSE:
            raise DataError(f"{self.where}: the label {self.text('label')!r} is neither OK nor NOK; write 0 or 1")
        return word in TRUE if word else None


def read_rows(path: Path, names: Mapping[str, Sequence[str]], *, needs: Sequence[str]) -> list[TableRow]:
    """Read a table whose columns go by any of their names, in any case.

    A CSV has commas, semicolons or tabs, with or without a byte-order mark; ``.jsonl`` has one object a line.

    Args:
        path: of the table; ``.csv``, ``.tsv``, ``.txt``, ``.jsonl`` or ``.parquet``.
        names: kind of column to the names that it may have.
        needs: kinds of which each must be there.

    Raises:
        DataError: it cannot be read, or lacks a column; the file and what it has are named.
    """
    columns, rows = _read(path)
    known = {name.strip().casefold(): name for name in columns}
    found = {
        kind: known[next(n for n in some if n.casefold() in known).casefold()]
        for kind, some in names.items()
        if any(n.casefold() in known for n in some)
    }
    for kind in needs:
        if kind not in found:
            near = near_matches(kind, columns) if columns else "it is empty"
            raise DataError(f"{path}: needs a column {kind}; it has: {', '.join(columns) or 'none'}; {near}")
    return [
        TableRow(where=f"{path}, {place}", values={kind: _text(row.get(name)) for kind, name in found.items()})
        for place, row in rows
    ]


def _read(path: Path) -> tuple[list[str], Iterable[tuple[str, Mapping[str, object]]]]:
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            import pandas as pd

            table = pd.read_parquet(path)
            table = table.astype(object).where(table.notna(), None)
            rows = ({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
            return list(map(str, table.columns)), ((f"row {at}", row) for at, row in enumerate(rows, start=1))
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the path of a table") from None
    except Exception as error:
        raise DataError(f"{path}: cannot be read as a Parquet table ({error})") from None
    if ending in (".jsonl", ".ndjson"):
        return _json_lines(path, text)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=separator)
    return list(reader.fieldnames or ()), ((f"line {reader.line_num}", row) for row in reader)


def _json_lines(path: Path, text: str) -> tuple[list[str], list[tuple[str, Mapping[str, object]]]]:
    rows: list[tuple[str, Mapping[str, object]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f'{path}, line {number}: needs an object, such as {{"image": "a.png", "label": 0}}')
        rows.append((f"line {number}", row))
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
