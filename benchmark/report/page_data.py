"""What the page shows of one run, as plain values for the template."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.core.provenance import shown_hardware
from benchmark.core.text import counted
from benchmark.report.charts import chart
from benchmark.report.page_charts import category_bars
from benchmark.report.papers.fairness import images, is_partial
from benchmark.report.tables import number, outward
from benchmark.results.profile import stage_times
from benchmark.results.schema import RunResult
from benchmark.scoring.metrics.registry import title as metric_title


def anchor(result: RunResult) -> str:
    """Return the run's id as an HTML id."""
    return "run-" + "".join(c if c.isalnum() or c in "-_" else "_" for c in result.id)


def run_page(result: RunResult, totals: Mapping[str, float]) -> dict[str, Any]:
    """Return everything that the page of one run shows.

    Args:
        result: of the run.
        totals: sums over its images of what its pipeline counted (tokens, cost).
    """
    return {
        "anchor": anchor(result),
        "id": result.id,
        "dataset": result.data_label,
        "pipeline": result.choices["pipeline"],
        "protocol": result.protocol.name,
        "images": images(result),
        "warnings": list(_warnings(result)),
        "bars": [_bars(result, metric) for metric in _defined_first(result)],
        "tables": list(_tables(result)),
        "cost": [*_cost(result), *((f"{name}, all images", f"{value:.6g}") for name, value in totals.items())],
        "facts": list(_facts(result)),
        "config": json.dumps({"choices": result.choices, **result.config}, indent=1, sort_keys=True),
    }


def _defined_first(result: RunResult) -> list[str]:
    defined = [m.metric for m in result.metrics if m.value is not None]
    return list(dict.fromkeys([*defined, *(m.metric for m in result.metrics)]))


def _warnings(result: RunResult) -> Iterator[str]:
    if result.meaningless:
        yield "Random weights took part: these numbers mean nothing."
    if is_partial(result):
        yield f"Not the whole dataset: {counted(images(result), 'image')}."
    yield from result.dataset.notes


def _bars(result: RunResult, metric: str) -> dict[str, Any]:
    """One metric by category: a chart, and the same as a table with what each value rests on."""
    own = [m for m in result.metrics if m.metric == metric]
    rows = []
    for row in own:
        ends = outward(row.low, row.high)
        at = f"at score ≥ {row.threshold:.4g}" if row.threshold is not None else ""
        span = f"{ends[0]:.3f} – {ends[1]:.3f}" if ends else ""
        remark = "; ".join(filter(None, [row.explained or at, row.no_interval if not ends else ""]))
        rows.append([row.category, number(row.value), span, str(row.n), str(row.n_defective), remark])
    alone = len(result.dataset.categories) == 1  # its mean and its pooled value are its own
    drawn = [row for row in own if row.value is not None and not (alone and row.category in ("mean", "pooled"))]
    name = metric_title(metric)
    alt = f"{name} by category: " + ", ".join(f"{row.category} {number(row.value, 3)}" for row in drawn)
    columns = ["category", name, "interval", "images", "defective", "remark"]
    return {
        "metric": name,
        "columns": columns,
        "rows": rows,
        "chart": chart(alt, category_bars(drawn)) if drawn else None,
    }


def _tables(result: RunResult) -> Iterator[dict[str, Any]]:
    constant = [{"policy": b.policy, **b.values} for b in result.baselines]
    named = {"constant answers on the same labels, all images together": constant}
    for title, rows in (named | result.tables).items():
        if rows:
            cells = [[number(v) if isinstance(v, float) or v is None else str(v) for v in row.values()] for row in rows]
            yield {"title": title.replace("_", " "), "columns": list(rows[0]), "rows": cells}


def _cost(result: RunResult) -> Iterator[tuple[str, str]]:
    measured = result.measured
    yield (
        "whole run",
        f"{measured.seconds:.1f} s, {1000 * measured.seconds / result.dataset.n_samples_effective:.0f} ms an image",
    )
    times = stage_times(measured)
    for stage, seconds in measured.seconds_per_stage.items():
        computed, reused = measured.samples_computed.get(stage, 0), measured.samples_reused.get(stage, 0)
        counted = f"{seconds:.1f} s; {computed} computed, {reused} from the store"
        size = measured.images_at_once.get(stage, 1)
        counted += f", up to {size} at once" if size > 1 else ""
        yield f"stage {stage}", f"{counted}; {times[stage]}" if stage in times else counted
    yield "peak memory", f"{measured.peak_memory_mb:.0f} MB"
    if measured.gpu_memory_mb is not None:
        yield "GPU memory", f"{measured.gpu_memory_mb:.0f} MB"


def _facts(result: RunResult) -> Iterator[tuple[str, str]]:
    measured = result.measured
    yield "run", result.id
    yield "digest of the deterministic part", result.digest
    yield "protocol", f"{result.protocol.name} {result.protocol.hash[:16]}"
    yield "dataset fingerprint", result.dataset.fingerprint
    yield "outcomes", ", ".join(f"{n} {name}" for name, n in result.outcomes.items())
    for w in result.weights:
        trained = "not known" if w.trained_on is None else ", ".join(w.trained_on) or "nothing"
        yield (
            f"weights {w.name}",
            f"sha256 {w.sha256[:16] or '–'}, licence {w.licence or 'not stated'}, trained on {trained}",
        )
    yield "code", f"{measured.git_commit or 'no checkout'}{' with uncommitted changes' if measured.git_dirty else ''}"
    yield "machine", shown_hardware(measured.hardware)
    yield "packages", ", ".join(f"{k} {v}" for k, v in measured.packages.items())
    yield "started", measured.started
    yield "command", shlex.join(measured.command)
