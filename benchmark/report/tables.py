"""Terminal tables of results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.core.terminal import literal
from benchmark.core.text import counted
from benchmark.results.profile import stage_times, together
from benchmark.results.schema import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from benchmark.core.table import Grid
    from benchmark.report.papers.published_row import PublishedRow
    from benchmark.results.finished import Finished
    from benchmark.scoring.metric_record import MetricRecord

MAX_CATEGORIES = 40
MOST_FAILURES = 5
"""Images without an answer that are named."""


def number(value: float | None, digits: int = 4) -> str:
    """Format a metric value; an undefined one is a dash, never 0."""
    return "–" if value is None else f"{value:.{digits}f}"


def sortable(value: float | None) -> str:
    """Return a number to sort by as text; "" where it is undefined."""
    return "" if value is None else f"{value:.8g}"


def interval(row: MetricRecord) -> str:
    """Format a metric's 95 % interval, its ends rounded away from each other: what is shown holds the value, too."""
    ends = outward(row.low, row.high)
    return "" if ends is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"


def outward(low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return the ends of an interval in thousandths, the lower one rounded down and the upper one up; None without."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return math.floor(low * 1000 + 1e-9) / 1000, math.ceil(high * 1000 - 1e-9) / 1000


def print_result(finished: Finished) -> None:
    """Print one run: its metrics with n, the constant rows, outcomes, reuse, and where everything lies."""
    from rich.console import Console

    from benchmark.core.table import show
    from benchmark.report.image_rows import confusion_line
    from benchmark.results.files import read_rows

    result = finished.result
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    console.print(f"[bold]{literal(result.title)}[/bold]", _size(result))
    if result.meaningless:
        console.print("[bold red]random weights: these numbers mean nothing[/bold red]")
    for note in result.dataset.notes:
        console.print(f"note: {literal(note)}")
    if one_sided := _one_sided(result):
        console.print(f"note: {one_sided}", soft_wrap=True)
    show(_metrics(result))
    if reasons := "; ".join(_unfair(result)):
        console.print(f"[bold red]not comparable with them: {literal(reasons)}[/bold red]")
    if confusion := confusion_line(read_rows(finished.folder, ["outcome", "label", "defective"])):
        console.print(f"{confusion}; make rows RUNS={result.id} lists the images", soft_wrap=True)
    for note in weights_lines(result):
        console.print(literal(note), soft_wrap=True)
    for table in (_baselines(result), *(_rows(name, rows) for name, rows in result.tables.items())):
        if table.rows:
            show(table)
    failed = {k: v for k, v in result.outcomes.items() if k != "ok"}
    if failed:
        console.print("outcomes: " + ", ".join(f"{v} {k}" for k, v in result.outcomes.items()))
        for line in _failures(read_rows(finished.folder, ["id", "outcome", "message"])):
            console.print(f"  {literal(line)}", soft_wrap=True)
    reused = sum(result.measured.samples_reused.values())
    computed = sum(result.measured.samples_computed.values())
    if reused + computed:
        console.print(f"stages: {computed} computed, {reused} reused from the store")
    if times := stage_times(result.measured):
        whole = together(times.values())
        console.print(f"their time: {sum(whole):.1f} s, {whole}")
    if finished.reused:
        console.print("the result was there already (run.overwrite=never)")
    for line in finished.exported:
        console.print(f"exported {literal(line)}", soft_wrap=True)
    console.print(f"result: {literal(str(finished.folder))}  digest {result.digest[:12]}", soft_wrap=True)
    if finished.tracking_id:
        console.print(f"MLflow run: {finished.tracking_id}")


def weights_lines(result: RunResult) -> list[str]:
    """Say of each file of weights what it is: its name, what it was trained on, its licence, and where it came from."""
    from benchmark.weights import find, names

    lines = []
    for used in result.weights:
        if not used.sha256:
            continue
        entry = find(used.name) if used.name in names() else None
        embedded = entry is not None and all(file.package for file in entry.files)
        trained = "not published" if used.trained_on is None else ", ".join(used.trained_on)
        parts = [
            f"weights: {entry.title if entry else used.name}",
            f"trained on {trained}" if trained else "",
            f"licence {used.licence or 'not stated'}",
            f"carried by this project's package {entry.files[0].package}" if entry and embedded else "",
        ]
        lines.append("; ".join(part for part in parts if part))
    return lines


def _one_sided(result: RunResult) -> str:
    """Say that a part of the images has none of one class; empty where both are there, or all images were taken."""
    data = result.dataset
    if data.n_samples_effective == data.n_samples_original or (data.n_good and data.n_defective):
        return ""
    lacks = "defective" if data.n_good else "good"
    return (
        f"none of these {data.n_samples_effective} images is {lacks}; raise run.limit, which takes images evenly from "
        f"all {data.n_samples_original}: most metrics need both classes"
    )


def _size(result: RunResult) -> str:
    data = result.dataset
    of = "" if data.n_samples_effective == data.n_samples_original else f" of {data.n_samples_original}"
    expected = data.n_samples_expected
    partial = "" if expected in (None, data.n_samples_original) else f", {expected} expected"
    return (
        f"· {counted(f'{data.n_samples_effective}{of}', 'image')}{partial} ({data.n_good} good, "
        f"{data.n_defective} defective) "
        f"· protocol {result.protocol.name} · {result.measured.seconds:.1f} s"
    )


def _metrics(result: RunResult) -> Grid:
    """One row a metric and category; metrics that nothing defines and categories that say the same have one row."""
    from benchmark.core.table import Grid
    from benchmark.report.papers.fairness import published_values
    from benchmark.scoring.metrics.registry import ORACLE_NOTE, title

    printed = published_values(result)
    shown = set(result.dataset.categories[:MAX_CATEGORIES]) | {"mean", "pooled"}
    brief = {m.metric for m in result.metrics} if len(result.dataset.categories) == 1 else _undefined(result)
    rows = []
    for row in result.metrics:
        if row.category not in shown or (row.metric in brief and row.category != "pooled" and _repeats(result, row)):
            continue
        published = [_published(printed.get((row.metric, row.category), ()))] if printed else []
        counts = (str(row.n), str(row.n_defective))
        rows.append(
            (title(row.metric), row.category, number(row.value), interval(row), *counts, *published, _remark(row))
        )
    notes = []
    if any(title(row.metric) != row.metric for row in result.metrics):
        notes.append(ORACLE_NOTE)
    if printed:
        notes.append(
            f"published: {result.choices['pipeline']} under protocol {result.protocol.name}; make compare says more"
        )
    columns = ("metric", "of", "value", "95 % interval", "n", "defective")
    last = len(columns)
    return Grid(
        title="",
        columns=(*columns, *(["published"] if printed else []), "remark"),
        rows=tuple(rows),
        notes=tuple(notes),
        left=frozenset({0, 1, 3, last, last + 1} if printed else {0, 1, 3, last}),
    )


def _remark(row: MetricRecord) -> str:
    """Say why a value is undefined or has no interval, at which threshold it was reached, and what was left out."""
    at = f"at score ≥ {row.threshold:.4g}" if row.threshold is not None else ""
    of = ("image", "images") if row.category != "mean" else ("category", "categories")
    skipped = f"{counted(row.n_skipped, *of)} skipped" if row.n_skipped else ""
    return "; ".join(filter(None, [row.explained or at, row.no_interval, skipped]))


def _unfair(result: RunResult) -> list[str]:
    """Say why the values cannot be compared with published ones, where there are some."""
    from benchmark.report.papers.fairness import published_values, unfair_run

    return list(unfair_run(result)) if published_values(result) else []


def _failures(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the images that have no answer, each with its reason, the first ones."""
    failed = rows[rows["outcome"] != "ok"]
    for row in failed.head(MOST_FAILURES).to_dict("records"):
        yield f"{row['id']}: {row['message'] or row['outcome']}"
    if len(failed) > MOST_FAILURES:
        yield f"and {len(failed) - MOST_FAILURES} more; per_image.parquet beside the result names all"


def _published(rows: Sequence[PublishedRow]) -> str:
    """Published values as they were printed, each with its paper and with what speaks against it."""
    units = {"percent": " %", "fraction": ""}
    return ", ".join(f"{row.printed}{units.get(row.unit, '')} {row.paper}{row.remark}" for row in rows)


def _undefined(result: RunResult) -> set[str]:
    """Metrics that are undefined in every row: a pipeline that gives labels only has no score map to rank."""
    return {m.metric for m in result.metrics} - {m.metric for m in result.metrics if m.value is not None}


def _repeats(result: RunResult, row: MetricRecord) -> bool:
    """Whether the pooled row says the same, as it does of one category and of a metric that nothing defines."""
    return any(
        other.metric == row.metric and other.category == "pooled" and other.value == row.value
        for other in result.metrics
    )


def _baselines(result: RunResult) -> Grid:
    from benchmark.core.table import Grid

    names = tuple(result.baselines[0].values) if result.baselines else ()
    return Grid(
        title="constant answers on the same labels, all images together",
        columns=("policy", *names),
        rows=tuple((row.policy, *(number(row.values[name]) for name in names)) for row in result.baselines),
    )


def _rows(name: str, rows: Sequence[Mapping[str, object]]) -> Grid:
    from benchmark.core.table import Grid

    def text(value: object) -> str:
        return number(value) if isinstance(value, float) or value is None else str(value)

    return Grid(
        title=name.replace("_", " "),
        columns=tuple(str(column) for column in rows[0]) if rows else (),
        rows=tuple(tuple(text(value) for value in row.values()) for row in rows),
        left=frozenset(),
    )
