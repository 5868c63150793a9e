"""Published numbers: read from ``baselines/*.csv``, validated, with what cannot be relied on flagged."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from benchmark.errors import ResultsError, near_matches
from benchmark.resources import BASELINES
from benchmark.results.schema import Record

COLUMNS = (
    "paper", "table", "dataset", "category", "method", "metric", "value", "unit", "protocol", "flag", "source", "note",
)  # fmt: skip
SCALES = {"fraction": 1.0, "percent": 0.01, "percent_points": 0.01}
"""Factor from the printed unit to a fraction; the other units are no ratios."""
OUR_METRIC = {
    "iou_mean_defective": "iou",
    "ap_pixel": "ap",
    "f1_max_pixel": "f1_max",
    "max_iou_pixel": "max_iou",
    "auroc_pixel": "auroc",
    "aupro_30": "aupro",
    "f2": "f2",
    "ap_image": "image_ap",
    "auroc_image": "image_auroc",
    "f1_max_image": "image_f1_max",
    "balanced_accuracy_image": "balanced_accuracy",
    "precision_image": "precision",
    "recall_image": "recall",
}
"""Published metric -> the metric of this package that measures the same thing; the others have none."""
OTHER_METRICS = frozenset(
    {"f1_max_region", "f1_max_region_one_to_one", "aupro", "f1_image", "mmad_accuracy_7tasks"}
    | {"delta_f1_max_pixel", "delta_max_iou_pixel", "latency_per_image", "fps", "parameters", "time_share"}
)

Flag = Literal["", "inconsistent", "unreliable", "difference", "derived"]


class PublishedProtocol(Record):
    """How a paper measured, and the preset of ``conf/protocol`` that comes nearest."""

    title: str
    preset: str | None
    match: Literal["reading", "part", "none"]
    because: str


class PublishedRow(Record):
    """One printed number."""

    paper: str = Field(min_length=1)
    table: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    category: str = Field(min_length=1)
    method: str = Field(min_length=1)
    metric: str
    printed: str = Field(pattern=r"^-?\d+(\.\d+)?$", alias="value")
    """The value with the digits that were printed."""
    unit: Literal["fraction", "percent", "percent_points", "ms", "frames_per_second", "MB"]
    protocol: str
    flag: Flag
    """inconsistent: arithmetically impossible; unreliable: not what its name says, or second-hand;
    difference: between two methods, no level; derived: computed from printed values."""
    source: str = Field(min_length=1)
    note: str

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in OUR_METRIC and value not in OTHER_METRICS:
            raise ValueError(f"no such metric; {near_matches(value, [*OUR_METRIC, *OTHER_METRICS])}")
        return value

    @property
    def value(self) -> float:
        """The printed number, in its printed unit."""
        return float(self.printed)

    @property
    def scale(self) -> float:
        """Factor from the printed unit to a fraction; 1 for units that are no ratio."""
        return SCALES.get(self.unit, 1.0)

    @property
    def fraction(self) -> float | None:
        """The number as our metrics give it, in [0, 1]; None for differences and for units that are no ratio."""
        return self.value * self.scale if self.unit in SCALES and self.flag != "difference" else None

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit, as a fraction."""
        digits = len(self.printed.partition(".")[2])
        return 0.5 * 10.0**-digits * self.scale

    @property
    def usable(self) -> bool:
        """Whether the number can be a target: a level that nothing speaks against."""
        return self.flag in ("", "derived")


@functools.cache
def protocols(folder: Path = BASELINES) -> dict[str, PublishedProtocol]:
    """Read ``protocols.yaml``: published protocol -> what it is. Raises ResultsError naming the entry."""
    import yaml

    path = folder / "protocols.yaml"
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
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

    Rows that cannot be right by arithmetic (``benchmark.results.consistency``) carry the flag
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
    with path.open(encoding="utf-8", newline="") as handle:
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
    from benchmark.results.consistency import impossible_pairs, wrong_totals

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
    return [r for r in (published() if rows is None else rows) if all(getattr(r, k) == v for k, v in given.items())]


def _row(path: Path, line: int, values: dict[str, str], known_protocols: Sequence[str]) -> PublishedRow:
    try:
        row = PublishedRow.model_validate(values)
    except ValidationError as error:
        raise ResultsError(f"{path}:{line}: {_first_problem(error)}") from None
    if row.protocol not in known_protocols:
        near = near_matches(row.protocol, known_protocols)
        raise ResultsError(f"{path}:{line}: protocol {row.protocol!r} is not in protocols.yaml; {near}")
    if row.unit in ("fraction", "percent") and row.usable and not 0.0 <= row.value * row.scale <= 1.0:
        raise ResultsError(f"{path}:{line}: {row.printed} {row.unit} is outside 0 to 100 %; mend it or flag the row")
    return row


def _identity(row: PublishedRow) -> tuple[str, ...]:
    return (row.paper, row.table, row.dataset, row.category, row.method, row.metric, row.protocol)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "row"
    return f"{where}: {problem['msg']} (got {problem['input']!r})"
