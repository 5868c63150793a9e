"""Results in the forms of other places: CSV, and the evaluation results of Hugging Face.

There a benchmark is a dataset repository with an ``eval.yaml``, and a result an entry of a list in ``.eval_results/``
of a model repository (Hugging Face, docs/hub/eval-results; embeddings-benchmark/mteb:mteb/_hf_integration).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from benchmark.core.settings import Record
from benchmark.core.table import Grid, csv_text
from benchmark.report.tables import interval
from benchmark.results.schema import RunResult
from benchmark.scoring.metrics.registry import METRICS

FRAMEWORK = "fm-defect-bench"
COLUMNS = (
    "dataset", "method", "protocol", "protocol_hash", "metric", "category", "value", "low", "high", "n", "n_defective",
    "reason", "run", "digest",
)  # fmt: skip
Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
"""``owner/name`` on the hub."""


class EvalTask(Record):
    """One task of a benchmark: one number of a method."""

    id: str
    config: str
    split: str


class EvalBenchmark(Record):
    """``eval.yaml`` of a dataset repository."""

    name: str
    description: str
    evaluation_framework: str = FRAMEWORK
    tasks: list[EvalTask]


class EvalDataset(Record):
    """Which task of which dataset repository a value is of."""

    id: Repository
    task_id: str
    revision: str | None = None


class EvalSource(Record):
    """Where a value comes from."""

    url: str | None = None
    name: str | None = None
    user: str | None = None


class EvalResult(Record):
    """One entry of ``.eval_results/*.yaml`` of a model repository."""

    dataset: EvalDataset
    value: float
    date: str
    evaluation_framework: str = FRAMEWORK
    source: EvalSource | None = None
    notes: str


def as_csv(results: Sequence[RunResult]) -> str:
    """Return every value of results, one a line, with its interval and what it rests on."""
    rows = []
    for result in results:
        shared = (result.data_label, result.choices["pipeline"], result.protocol.name, result.protocol.hash)
        for row in result.metrics:
            values = ("" if value is None else repr(value) for value in (row.value, row.low, row.high))
            counts = (str(row.n), str(row.n_defective), row.reason or "")
            rows.append((*shared, row.metric, row.category, *values, *counts, result.id, result.digest))
    return csv_text(Grid(title="", columns=COLUMNS, rows=tuple(rows)))


def benchmark_of(result: RunResult) -> EvalBenchmark:
    """Return the benchmark that a result is one of: a task for each metric under the result's protocol."""
    label = result.data_label
    return EvalBenchmark(
        name=f"{label}, protocol {result.protocol.name}",
        description=f"Defect inspection on {label}, scored by {FRAMEWORK} under protocol {result.protocol.name} "
        f"(hash {result.protocol.hash[:12]}); values are fractions",
        tasks=[EvalTask(id=task, config="default", split="test") for task, _ in _tasks(result)],
    )


def entries_of(result: RunResult, *, dataset: str, url: str | None, user: str | None) -> list[EvalResult]:
    """Return the entries of a result.

    Args:
        result: of one run.
        dataset: repository of the benchmark, ``owner/name``.
        url: where the numbers can be read, such as a submission; None: nowhere.
        user: name on the hub of who made them; None: not said.
    """
    source = EvalSource(url=url, name=FRAMEWORK, user=user) if url or user else None
    found = []
    for task, metric in _tasks(result):
        row = result.headline()[metric]
        assert row.value is not None, "only defined values are tasks"
        notes = f"{METRICS[metric].description}; {result.choices['pipeline']}; n={row.n}; 95 % interval {interval(row)}"
        found.append(
            EvalResult(
                dataset=EvalDataset(id=dataset, task_id=task),
                value=row.value,
                date=result.measured.started[:10],
                source=source,
                notes=f"{notes}; run digest {result.digest[:12]}",
            )
        )
    return found


def as_yaml(what: EvalBenchmark | Sequence[EvalResult]) -> str:
    """Return a benchmark or entries as YAML without fields that are not given."""
    import yaml

    one = isinstance(what, EvalBenchmark)
    values: Any = what.model_dump(exclude_none=True) if one else [e.model_dump(exclude_none=True) for e in what]  # type: ignore[union-attr]
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _tasks(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the task's id and the metric of each defined value."""
    for metric, row in result.headline().items():
        if row.value is not None:
            yield f"{result.protocol.name}_{metric}", metric
