"""The table over all points of a sweep: parquet, CSV, plots, and the best point marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ResultsError
from benchmark.core.table import Grid, csv_cell, show
from benchmark.core.text import counted
from benchmark.report.seeds import over_seeds, seeds_grid
from benchmark.results.files import read_result

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results.schema import RunResult

NOT_A_PARAMETER = frozenset(
    {"run.shard", "run.engine", "run.overwrite", "run.workers", "run.batch_size", "run.device", "tracking"}
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a sweep came to."""

    table: pd.DataFrame
    parameters: list[str]
    """Columns of the table that were swept."""
    metric: str | None
    """The objective."""
    failed: int
    best_metrics: Mapping[str, float]


def summarise(folder: Path, runs: Path, *, objective: str | None) -> Summary:
    """Collect the points below ``folder``, write ``points.parquet`` and ``points.csv`` and the plots, print the table.

    Where a seed is among what was swept, the spread over seeds follows the table and stands in ``seeds.csv``.

    Args:
        folder: the sweep's folder.
        runs: where the runs of the points lie.
        objective: metric by which the best point is chosen; None: the first metric with a value.
    """
    records = [json.loads(p.read_text()) for p in sorted((folder / "points").glob("*.json"))]
    if not records:
        raise ResultsError(f"{folder / 'points'} holds no points")
    results = {r["number"]: read_result(runs / r["run"]) for r in records if "run" in r}
    records = _without_unfinished_shards(records)
    metric = objective or _first_metric(list(results.values()))
    parameters = _swept(records)
    columns = [_values([r["overrides"].get(p) for r in records]) for p in parameters]
    values = [dict(zip(parameters, point, strict=True)) for point in zip(*columns, strict=True)] or [{}] * len(records)
    rows = [_row(r, results.get(r["number"]), v) for r, v in zip(records, values, strict=True)]
    table = _frame(rows, metric)
    table.to_parquet(folder / "points.parquet", index=False)
    table.map(lambda v: csv_cell(v) if isinstance(v, str) else v).to_csv(folder / "points.csv", index=False)
    if metric is not None and metric in table:
        from benchmark.report.plots import sweep_plots

        sweep_plots(table, parameters, metric, folder)
    failed = int((table["status"] == "failed").sum() + (table["status"] == "not tracked").sum())
    _print(table, parameters, metric, folder)
    names = [c for c in table if isinstance(c, str) and f"{c}_low" in table]
    spread = over_seeds(table, parameters, names)
    if spread is not None:
        spread.map(lambda v: csv_cell(v) if isinstance(v, str) else v).to_csv(folder / "seeds.csv", index=False)
        show(seeds_grid(spread, parameters, names))
    best = table[table["best"]]
    names = [c for c in table if isinstance(c, str) and c not in {*parameters, "number"}]
    best_metrics = {f"best/{c}": float(best.iloc[0][c]) for c in names if len(best) and _is_number(best.iloc[0][c])}
    return Summary(table=table, parameters=parameters, metric=metric, failed=failed, best_metrics=best_metrics)


def _without_unfinished_shards(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shards that did their part stand in no row of their own: the one that merged speaks for all."""
    finished = [r for r in records if r["status"] != "shard"]
    return finished or records


def _first_metric(results: Sequence[RunResult]) -> str | None:
    values = (row for result in results for row in result.headline().values())
    return next((row.metric for row in values if row.value is not None), None)


def _swept(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the overrides that differ between points, in their order on the command line."""
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in record["overrides"].items():
            values.setdefault(key, set()).add(value)
    return [k for k, v in values.items() if len(v) > 1 and k not in NOT_A_PARAMETER]


def _row(record: Mapping[str, Any], result: RunResult | None, values: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"number": record["number"], **values}
    row |= {"status": record["status"], "message": record.get("message"), "run": record.get("run")}
    for name, metric in (result.headline() if result else {}).items():
        row[name] = metric.value
        row[f"{name}_low"], row[f"{name}_high"] = metric.low, metric.high
    return row


def _frame(rows: Sequence[Mapping[str, Any]], metric: str | None) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(list(rows))
    best = [False] * len(table)
    if metric is not None and metric in table and table[metric].notna().any():
        from benchmark.scoring.metrics.registry import best_of

        values = [float(value) if value == value and value is not None else None for value in table[metric]]
        best[values.index(best_of(metric, [value for value in values if value is not None]))] = True
    table.insert(1, "best", best)
    return table


def _print(table: pd.DataFrame, parameters: Sequence[str], metric: str | None, folder: Path) -> None:
    from benchmark.report.tables import number
    from benchmark.scoring.metrics.registry import ORACLE_NOTE, title

    metrics = [c for c in table if isinstance(c, str) and f"{c}_low" in table]
    judged = f", best by {title(metric or '')}" if table["best"].any() else ""
    rows = []
    for _, row in table.iterrows():
        low, high = (row.get(f"{metric}_{end}") for end in ("low", "high"))
        span = f"[{low:.3f}, {high:.3f}]" if row["best"] and _is_number(low) and _is_number(high) else ""
        values = [number(float(row[m])) if _is_number(row[m]) else "–" for m in metrics]
        remark = "" if row["status"] == "ok" else f"{row['status']}: {row['message'] or ''}"
        rows.append(("→" if row["best"] else "", *(_shown(row[p]) for p in parameters), *values, span, remark))
    defined = [m for m in metrics if table[m].notna().any()]
    notes = [f"sweep: {folder}"]
    tied = int((table[metric] == table.loc[table["best"], metric].iloc[0]).sum()) if judged else 0
    if tied > 1:
        notes.insert(0, f"{tied} points have the best {metric}; the first of them is marked")
    if defined and not judged:
        notes.insert(0, f"no best point, as {metric} is undefined in all; run.objective={defined[0]} takes another")
    if any(title(m) != m for m in metrics):
        notes.insert(0, ORACLE_NOTE)
    columns = [
        "",
        *(p.removeprefix("pipeline.") for p in parameters),
        *(title(m) for m in metrics),
        "95 % interval",
        "remark",
    ]
    show(
        Grid(
            title=f"{counted(len(table), 'point')}{judged}",
            columns=tuple(columns),
            rows=tuple(rows),
            notes=tuple(notes),
            left=frozenset(range(len(columns))),
            marked=frozenset(i for i, best in enumerate(table["best"]) if best),
        )
    )


def _values(texts: Sequence[str | None]) -> list[Any]:
    """Return a parameter's values as numbers where all of them are, else as texts: a column has one type."""
    for kind in (int, float):
        with suppress(ValueError):
            return [None if text is None else kind(text) for text in texts]
    return list(texts)


def _shown(value: Any) -> str:
    """Return a parameter's value as text, a dash where the point does not set it."""
    return "–" if value is None or value != value else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
