"""The tables of papers as data: which dataset, pipeline and settings stand behind every cell."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.resources import BASELINES
from benchmark.core.settings import Record
from benchmark.core.yaml_files import read_yaml
from benchmark.report.papers.published import find
from benchmark.report.papers.published_row import PublishedRow

TABLES = BASELINES / "tables"


class TableMetric(Record):
    """One metric of a table."""

    name: str
    """As the paper's table heads it."""
    ours: str
    """Metric of this package."""
    published: str
    """Metric of the CSV."""


class Method(Record):
    """One method of a table."""

    name: str
    published: str | None = None
    """Method of the CSV; None: the paper has no such row."""
    pipeline: str | None = None
    """Option of ``conf/pipeline``; None: this package has none, ``absent`` says why."""
    absent: str | None = None
    overrides: tuple[str, ...] = ()


class Part(Record):
    """What a row that is a mean over several datasets takes from another row."""

    row: str
    categories: tuple[str, ...] | None = None
    """None: all of that row's categories."""


class DataRow(Record):
    """One dataset of a table."""

    name: str
    dataset: str | None = None
    """Dataset of the CSV; None: a row of ours, which the paper does not have."""
    category: str = "mean"
    """Category of the CSV."""
    overrides: tuple[str, ...] = ()
    """Choose and set the dataset; empty for private data and for means over other rows."""
    private: bool = False
    note: str | None = None
    """What a reader must know of this row."""
    parts: tuple[Part, ...] = ()
    cells: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pipeline -> settings for it on this row alone (its prompt, say)."""


class PaperTable(Record):
    """One table of a paper."""

    title: str
    published: tuple[str, ...]
    """Tables of the CSV that its numbers stand in."""
    protocol: str
    """Option of ``conf/protocol``."""
    methods_on: Literal["columns", "rows"]
    metrics: tuple[TableMetric, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = Field(min_length=1)
    rows: tuple[DataRow, ...] = Field(min_length=1)
    overrides: tuple[str, ...] = ()
    """Settings of every cell."""


class CostTable(Record):
    """One table of what methods cost: frames per second and parameters."""

    title: str
    published: tuple[str, ...]
    """Tables of the CSV that its numbers stand in."""
    dataset: str
    """Option of ``conf/dataset`` that a measurement is proposed on."""
    methods: tuple[Method, ...] = Field(min_length=1)


class Elsewhere(Record):
    """Numbers of a method of this paper that others measured with its code."""

    paper: str
    """``paper`` of the CSV."""
    method: str
    pipeline: str


class Paper(Record):
    """The tables of one paper that can be run."""

    key: str
    """``paper`` of the CSV."""
    title: str
    tables: dict[str, PaperTable]
    costs: dict[str, CostTable] = Field(default_factory=dict)
    """What methods cost, by table; no name stands in ``tables`` too."""
    elsewhere: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one dataset: one run, one or more numbers."""

    row: DataRow
    method: Method
    overrides: tuple[str, ...]
    """Command line of the run; empty where there is none."""
    published: tuple[PublishedRow | None, ...]
    """What the paper prints, for each metric of the table."""

    @property
    def command(self) -> str:
        """The command that runs this cell alone."""
        return "python -m benchmark " + " ".join(f"'{o}'" if set(o) & set(" [](){}") else o for o in self.overrides)


@functools.cache
def paper_names() -> tuple[str, ...]:
    """Names of the papers whose tables are defined, sorted."""
    return tuple(sorted(p.stem for p in TABLES.glob("*.yaml")))


@functools.cache
def load_paper(name: str, folder: Path = TABLES) -> Paper:
    """Read the tables of one paper.

    Raises:
        ConfigError: no such paper (with near names), or its file is not valid.
    """
    path = folder / f"{name}.yaml"
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"PAPER={name}: no such paper in baselines/tables; {near_matches(name, known)}")
    try:
        return Paper.model_validate(read_yaml(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{path}: {where}: {problem['msg']} (got {problem['input']!r})") from None


def published_as(pipeline: str) -> frozenset[tuple[str, str]]:
    """Return under which ``paper`` and ``method`` of the CSVs a pipeline with its own settings is published."""
    found: set[tuple[str, str]] = set()
    for paper in map(load_paper, paper_names()):
        found |= {(e.paper, e.method) for e in paper.elsewhere if e.pipeline == pipeline}
        for table in paper.tables.values():
            found |= {
                (paper.key, m.published)
                for m in table.methods
                if m.pipeline == pipeline and m.published is not None and not m.overrides
            }
    return frozenset(found)


def cells(paper: Paper, table: PaperTable) -> Iterator[Cell]:
    """Yield every cell of a table, row by row."""
    for row in table.rows:
        for method in table.methods:
            yield Cell(
                row=row,
                method=method,
                overrides=_overrides(table, row, method),
                published=tuple(_published(paper, table, row, method, m.published) for m in table.metrics),
            )


def _overrides(table: PaperTable, row: DataRow, method: Method) -> tuple[str, ...]:
    if row.private or row.parts or method.pipeline is None:
        return ()
    names = ",".join(dict.fromkeys(m.ours for m in table.metrics))
    given = (*row.overrides, f"pipeline={method.pipeline}", f"protocol={table.protocol}", f"metric.names=[{names}]")
    return (*given, *table.overrides, *method.overrides, *row.cells.get(method.pipeline, ()))


def _published(paper: Paper, table: PaperTable, row: DataRow, method: Method, metric: str) -> PublishedRow | None:
    if row.dataset is None or method.published is None:
        return None
    rows = find(paper=paper.key, dataset=row.dataset, category=row.category, method=method.published, metric=metric)
    found = [r for r in rows if r.table in table.published]
    return found[0] if found else None
