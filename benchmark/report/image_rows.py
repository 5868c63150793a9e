"""What became of each image of a run, in words and numbers that a person on the line uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.core.table import Grid, csv_text
from benchmark.core.text import counted

if TYPE_CHECKING:
    import pandas as pd

WRONG = ("missed", "false alarm")


def verdicts(rows: pd.DataFrame) -> list[str]:
    """Return found, missed, passed or false alarm of each image; "" where it has no label, or no answer.

    Args:
        rows: a run's per-image table.
    """
    names = {(True, True): "found", (True, False): "missed", (False, False): "passed", (False, True): "false alarm"}
    answered = (rows["outcome"] == "ok") & rows["label"].notna()
    pairs = zip(rows["defective"], rows["label"], answered, strict=True)
    return [names[bool(truth), bool(label)] if known else "" for truth, label, known in pairs]


def confusion_line(rows: pd.DataFrame) -> str | None:
    """Say how many images were found, missed, passed and false alarms, with the rates; None where none has a label."""
    said = verdicts(rows)
    found, missed, passed, alarms = (said.count(word) for word in ("found", "missed", "passed", "false alarm"))
    parts = []
    if found + missed:
        parts.append(f"{found} of {found + missed} defective found, {missed} missed ({missed / (found + missed):.1%})")
    if passed + alarms:
        parts.append(f"{counted(alarms, 'false alarm')} on {passed + alarms} good ({alarms / (passed + alarms):.1%})")
    if not parts:
        return None
    without = len(said) - (found + missed + passed + alarms)
    if without:
        parts.append(f"{counted(without, 'image')} without a label")
    return f"labels: {'; '.join(parts)}"


def csv_of(rows: pd.DataFrame, *, only: Literal["wrong", "failed"] | None = None) -> tuple[str, int]:
    """Return the images as CSV, which no spreadsheet takes for formulas, and their number.

    Args:
        rows: a run's per-image table.
        only: keep misses and false alarms, or what has no answer.
    """
    said = verdicts(rows)
    kept = rows.assign(verdict=said)
    if only is not None:
        kept = kept[[v in WRONG for v in said] if only == "wrong" else rows["outcome"] != "ok"]
    columns = ["id", "verdict", *(name for name in rows.columns if name != "id")]
    cells = tuple(tuple(_text(value) for value in row) for row in kept[columns].itertuples(index=False))
    return csv_text(Grid(title="images", columns=tuple(columns), rows=cells)), len(kept)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)
