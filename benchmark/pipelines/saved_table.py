"""A table of image scores and labels, as spreadsheets and programs write it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark.core.errors import DataError, near_matches
from benchmark.core.samples import Sample

NAMES = {
    "image": ("image", "path", "file", "filename", "image_path", "id"),
    "score": ("score", "image_score", "anomaly_score", "pred_score"),
    "label": ("label", "prediction", "pred", "pred_label"),
}
"""Columns, by the names under which they are known."""
TRUE = frozenset({"1", "1.0", "true", "yes", "nok", "ng", "defective", "defect", "bad", "anomalous", "anomaly"})
FALSE = frozenset({"0", "0.0", "false", "no", "ok", "good", "normal"})

Row = tuple[float | None, bool | None]


def read_table(path: Path, samples: Sequence[Sample]) -> dict[str, Row]:
    """Return score and label by sample; a CSV with commas, semicolons or tabs, with or without a byte-order mark.

    An image is named by its path below the dataset, or by any end of it that only one image has; with slashes of
    either kind.

    Raises:
        DataError: the file cannot be read, lacks a column, names an unknown image or one twice, or holds what is no
            number or label; file, line and fix are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give pipeline.table=<CSV in UTF-8>") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=separator)
    columns = _columns(path, [name.strip() for name in rows.fieldnames or ()])
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    by_end = _ends(samples)
    found: dict[str, Row] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        name = (row[columns["image"]] or "").strip()
        sample = _named(name, by_end, where)
        if sample in found:
            raise DataError(f"{where}: {name} stands there twice; keep one row an image")
        score = _number(row.get(columns.get("score", "")), where)
        found[sample] = (score, _label(row.get(columns.get("label", "")), where))
    return found


def _columns(path: Path, given: list[str]) -> dict[str, str]:
    known = {name.casefold(): name for name in given}
    columns = {
        kind: known[next(n for n in names if n in known)]
        for kind, names in NAMES.items()
        if any(n in known for n in names)
    }
    if "image" not in columns or len(columns) == 1:
        raise DataError(f"{path}: needs a column image, and score or label; it has: {', '.join(given) or 'none'}")
    return columns


def _ends(samples: Sequence[Sample]) -> dict[str, str | None]:
    """Every end of every sample's path to its id; None where several samples have it."""
    found: dict[str, str | None] = {}
    for sample in samples:
        parts = PurePosixPath(sample.id).parts
        for at in range(len(parts)):
            end = "/".join(parts[at:])
            found[end] = None if end in found else sample.id
    return found


def _named(name: str, by_end: dict[str, str | None], where: str) -> str:
    plain = name.replace("\\", "/").removeprefix("./")
    parts = PurePosixPath(plain).parts
    for at in range(len(parts)):  # the table may name a longer path than the dataset's own
        end = "/".join(parts[at:])
        if end in by_end:
            if (sample := by_end[end]) is None:
                raise DataError(f"{where}: several images are called {end}; write the path below the dataset's folder")
            return sample
    raise DataError(f"{where}: no image {name!r} in the dataset; {near_matches(plain, list(by_end))}")


def _number(text: str | None, where: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where}: the score {text!r} is no number; write it with a decimal point") from None
    if not math.isfinite(value):
        raise DataError(f"{where}: the score is {text}; it must be a finite number")
    return value


def _label(text: str | None, where: str) -> bool | None:
    if text is None or not text.strip():
        return None
    word = text.strip().casefold()
    if word not in TRUE | FALSE:
        raise DataError(f"{where}: the label {text!r} is neither OK nor NOK; write 0 or 1")
    return word in TRUE
