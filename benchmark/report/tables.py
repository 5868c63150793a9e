"""Terminal tables of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.core.terminal import literal
from benchmark.results.schema import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmark.report.papers.published_row import PublishedRow
    from benchmark.results.finished import Finished
    from benchmark.scoring.metric_record import MetricRecord

MAX_CATEGORIES = 40
MOST_FAILURES = 5
"""Images without an answer that are named."""


def number(value: float | None, digits: int = 4) -> str:
    """Format a metric value; an undefined one is a dash, never 0."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(row: MetricRecord) -> str:
    """Format a metric's 95 % interval."""
    return "" if row.low is None or row.high is None else f"[{row.low:.3f}, {row.high:.3f}]"


def print_result(finished: Finished) -> None:
    """Print one run: its metrics with n, the constant rows, outcomes, reuse, and where everything lies."""
    from rich.console import Console

    result = finished.result
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    console.print(f"[bold]{literal(result.title)}[/bold]", _size(result))
    if result.meaningless:
        console.print("[bold red]random weights: these numbers mean nothing[/bold red]")
    for note in result.dataset.notes:
        console.print(f"note: {literal(note)}")
    _print_metrics(console, result)
    for note in weights_lines(result):
        console.print(literal(note), soft_wrap=True)
    _print_baselines(console, result)
    for name, rows in result.tables.items():
        _print_rows(console, name, rows)
    failed = {k: v for k, v in result.outcomes.items() if k != "ok"}
    if failed:
        console.print("outcomes: " + ", ".join(f"{v} {k}" for k, v in result.outcomes.items()))
        for line in _failures(finished):
            console.print(f"  {literal(line)}", soft_wrap=True)
    reused = sum(result.measured.samples_reused.values())
    computed = sum(result.measured.samples_computed.values())
    if reused + computed:
        console.print(f"stages: {computed} computed, {reused} reused from the store")
    if finished.reused:
        console.print("the result was there already (run.overwrite=never)")
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


def _size(result: RunResult) -> str:
    data = result.dataset
    of = "" if data.n_samples_effective == data.n_samples_original else f" of {data.n_samples_original}"
    expected = data.n_samples_expected
    partial = "" if expected in (None, data.n_samples_original) else f", {expected} expected"
    return (
        f"· {data.n_samples_effective}{of} images{partial} ({data.n_good} good, {data.n_defective} defective) "
        f"· protocol {result.protocol.name} · {result.measured.seconds:.1f} s"
    )


def _print_metrics(console: object, result: RunResult) -> None:
    from rich.table import Table

    from benchmark.report.papers.fairness import published_values, unfair_run
    from benchmark.scoring.metrics.registry import title

    table = Table(title=None, header_style="bold")
    for column, justify in [("metric", "left"), ("of", "left"), ("value", "right"), ("95 % interval", "left")]:
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for column in ("n", "defective"):
        table.add_column(column, justify="right")
    printed = published_values(result)
    if printed:
        table.add_column("published")
    table.add_column("remark")
    shown = set(result.dataset.categories[:MAX_CATEGORIES]) | {"mean", "pooled"}
    brief = {m.metric for m in result.metrics} if len(result.dataset.categories) == 1 else _undefined(result)
    for row in result.metrics:
        if row.category not in shown or (row.metric in brief and row.category != "pooled" and _repeats(result, row)):
            continue
        remark = row.reason or (f"at score ≥ {row.threshold:.4g}" if row.threshold is not None else "")
        remark = "; ".join(filter(None, [remark, row.no_interval]))
        if row.n_skipped:
            of = "images" if row.category != "mean" else "categories"
            remark = "; ".join(filter(None, [remark, f"{row.n_skipped} {of} skipped"]))
        table.add_row(
            title(row.metric),
            literal(row.category),
            number(row.value),
            interval(row),
            str(row.n),
            str(row.n_defective),
            *([literal(_published(printed.get((row.metric, row.category), ())))] if printed else []),
            literal(remark),
        )
    console.print(table)  # type: ignore[attr-defined]
    if any(title(row.metric) != row.metric for row in result.metrics):
        console.print("oracle: the best threshold for these very images and labels")  # type: ignore[attr-defined]
    if printed:
        note = f"published: {result.choices['pipeline']} under protocol {result.protocol.name}; make compare says more"
        console.print(note)  # type: ignore[attr-defined]
        if reasons := "; ".join(unfair_run(result)):
            console.print(f"[bold red]not comparable with them: {literal(reasons)}[/bold red]")  # type: ignore[attr-defined]


def _failures(finished: Finished) -> Iterator[str]:
    """Yield the images that have no answer, each with its reason, the first ones."""
    from benchmark.results.files import read_rows

    rows = read_rows(finished.folder)
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


def _print_baselines(console: object, result: RunResult) -> None:
    from rich.table import Table

    if not result.baselines:
        return
    names = list(result.baselines[0].values)
    title = "constant answers on the same labels, all images together"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("policy")
    for name in names:
        table.add_column(name, justify="right")
    for row in result.baselines:
        table.add_row(row.policy, *(number(row.values[name]) for name in names))
    console.print(table)  # type: ignore[attr-defined]


def _print_rows(console: object, name: str, rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    if not rows:
        return
    table = Table(title=name.replace("_", " "), title_justify="left", header_style="bold")
    for column in rows[0]:
        table.add_column(str(column), justify="right")
    for row in rows:
        table.add_row(*(number(v) if isinstance(v, float) or v is None else literal(str(v)) for v in row.values()))
    console.print(table)  # type: ignore[attr-defined]
