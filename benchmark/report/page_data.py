"""What the report's pages show of runs and published numbers, as plain values for the template."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.report.papers.fairness import NEARER, OTHER_NAME, WHOLE, images, is_partial
from benchmark.report.papers.published import protocols, published
from benchmark.report.papers.published_row import OUR_METRIC, PublishedRow
from benchmark.report.tables import number, outward
from benchmark.results.profile import stage_times
from benchmark.results.schema import RunResult, flatten
from benchmark.scoring.metrics.registry import title as metric_title

REFERENCE = {"text": "reference result", "bad": False, "title": "came with the project, see results/reference"}


def anchor(result: RunResult) -> str:
    """Return the run's id as an HTML id."""
    return "run-" + "".join(c if c.isalnum() or c in "-_" else "_" for c in result.id)


def boards(runs: Sequence[RunResult], *, references: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """Return one leaderboard for each dataset, with the published rows that have a counterpart.

    Args:
        runs: of any datasets.
        references: ids of those that came with the project; datasets that have no other run stand last.
    """
    found = []
    own = {r.dataset.name for r in runs if r.id not in references}
    for name in sorted({r.dataset.name for r in runs}, key=lambda name: (name not in own, name)):
        here = sorted((r for r in runs if r.dataset.name == name), key=lambda r: r.id in references)
        metrics = _metrics(here)
        best = _best(here)
        apart = settings_apart(here)
        rows = [_board_row(r, metrics, best, apart[r.id], came_along=r.id in references) for r in here]
        rows += _paper_rows(name, metrics)
        found.append(
            {
                "name": name,
                "notes": list(dict.fromkeys(n for r in here for n in r.dataset.notes)),
                "metrics": [{"name": m, "title": metric_title(m), "description": _description(m)} for m in metrics],
                "rows": rows,
                "constants": _constants(here),
            }
        )
    return found


def settings_apart(runs: Sequence[RunResult]) -> dict[str, str]:
    """Return run id -> the settings in which it differs from other runs of its pipeline and dataset preset.

    Runs on other data under the same name, as two folders of one's own have it, say the folder's name and the start of
    its fingerprint.
    """
    texts = {r.id: _identity(r) for r in runs}
    group = {r.id: r.choices["pipeline"] for r in runs}
    sizes = Counter(group.values())
    told = Counter((group[name], key, value) for name, text in texts.items() for key, value in text.items())
    several_data = len({r.dataset.fingerprint for r in runs}) > 1
    found = {}
    for name, own in texts.items():
        mine = group[name]
        keys = [k for k in own if k != "data" and told[mine, k, own[k]] < sizes[mine]]
        keys = ["data", *keys] if several_data else keys
        found[name] = ", ".join(f"{k.rpartition('.')[2]} {own[k]}" for k in keys)[:160]
    return found


def _identity(result: RunResult) -> dict[str, str]:
    config = result.config
    parts = {k: config.get(k, {}) for k in ("pipeline", "dataset")} | {
        "run": {"seed": config.get("run", {}).get("seed")}
    }
    settings = {k: v for k, v in flatten(parts).items() if not k.endswith("_target_")}
    given = result.measured.settings
    files = {
        f"file of {key.rpartition('.')[2]}": f"{Path(str(given.get(key) or '')).name} {digest[:8]}".strip()
        for key, digest in config.get("files", {}).items()
    }
    return {"data": _data_name(result), "chosen.dataset": result.choices.get("dataset", "")} | settings | files


def _data_name(result: RunResult) -> str:
    """Return the name of the user's own folder, if it is one, and the start of the data's fingerprint."""
    folder = Path(str(result.measured.settings.get("dataset.path") or "")).name
    return f"{folder} {result.dataset.fingerprint[:8]}".strip()


def _metrics(runs: Sequence[RunResult]) -> list[str]:
    """Metrics of some runs: those of images before those of pixels, those that no run defines last."""
    from benchmark.scoring.metrics.registry import METRICS

    present = {m.metric for r in runs for m in r.metrics}
    defined = {m.metric for r in runs for m in r.metrics if m.value is not None}
    known = [name for name in METRICS if name in present] + sorted(present - set(METRICS))
    return sorted(known, key=lambda name: (name not in defined, not name.startswith("image_")))


def _description(name: str) -> str:
    from benchmark.scoring.metrics.registry import METRICS

    return METRICS[name].description if name in METRICS else name


def _best(runs: Sequence[RunResult]) -> dict[tuple[str, str, str], float]:
    """Best value of each metric among whole runs under one protocol on the same images."""
    from benchmark.scoring.metrics.registry import best_of

    found: dict[tuple[str, str, str], float] = {}
    for result in runs:
        for metric in {m.metric for m in result.metrics}:
            own = result.headline().get(metric)
            if own is None or own.value is None or is_partial(result):
                continue
            key = (metric, result.protocol.hash, result.dataset.fingerprint)
            found[key] = best_of(metric, (found.get(key, own.value), own.value))
    return found


def _board_row(
    result: RunResult,
    metrics: Sequence[str],
    best: Mapping[tuple[str, str, str], float],
    apart: str,
    *,
    came_along: bool,
) -> dict[str, Any]:
    cells = []
    for metric in metrics:
        own = result.headline().get(metric)
        value = own.value if own else None
        key = (metric, result.protocol.hash, result.dataset.fingerprint)
        is_best = value is not None and not is_partial(result) and best.get(key) == value
        ends = outward(own.low, own.high) if own else None
        span = f"{ends[0]:.3f} – {ends[1]:.3f}" if ends else ""
        reason = (own.explained or own.no_interval or "") if own else "not computed by this run"
        cells.append(
            {"value": number(value), "sort": _sortable(value), "span": span, "reason": reason, "best": is_best}
        )
    return {
        "paper": False,
        "name": result.choices["pipeline"],
        "anchor": anchor(result),
        "differs": apart,
        "protocol": result.protocol.name,
        "partial": is_partial(result),
        "n": result.dataset.n_samples_effective,
        "images": images(result),
        "cells": cells,
        "tags": [*_tags(result), *([REFERENCE] if came_along else [])],
        "text": " ".join([result.id, *result.choices.values(), result.dataset.name, apart]),
    }


def _tags(result: RunResult) -> Iterator[dict[str, Any]]:
    if result.meaningless:
        yield {"text": "random weights", "bad": True, "title": "the numbers mean nothing"}
    if result.dataset.n_samples_effective < result.dataset.n_samples_original:
        yield {"text": "part of the images", "bad": True, "title": images(result)}
    elif is_partial(result) and not result.meaningless:
        yield {"text": "incomplete data", "bad": True, "title": f"{images(result)} expected"}
    for outcome, n in result.outcomes.items():
        if outcome != "ok":
            yield {"text": f"{n} {outcome}", "bad": True, "title": "counted as the protocol says"}
    for weights in result.weights:
        if weights.target_data and result.dataset.name in weights.target_data:
            told = "made from training images of this dataset, as the method wants it; from no test image"
            yield {"text": "learnt from this data", "bad": False, "title": f"{weights.name}: {told}"}


def _paper_rows(dataset: str, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Published levels over the whole dataset, one row for each method, paper and protocol."""
    theirs = OTHER_NAME.get(dataset, dataset)
    groups: dict[tuple[str, str, str], list[PublishedRow]] = {}
    for row in published():
        level = row.usable and row.fraction is not None and _our_metric(row) in metrics
        if level and row.dataset == theirs and row.category in WHOLE:
            part = "" if row.category == "mean" else f", {row.category}"
            groups.setdefault((row.paper + part, row.method, row.protocol), []).append(row)
    for (paper, method, protocol), rows in groups.items():
        values = {_our_metric(r): r for r in reversed(rows)}  # of several the first, as in the paper's table
        about = protocols()[protocol]
        cells = [_paper_cell(values.get(m)) for m in metrics]
        words = ["published", *(["protocol in part"] if about.match == "part" else [])]
        name = f"{method} ({paper})"
        yield {
            "paper": True, "partial": False, "name": name, "anchor": "", "differs": "",
            "protocol": about.preset or protocol, "n": "", "images": "", "cells": cells,
            "tags": [{"text": word, "bad": False, "title": about.because} for word in words],
            "text": f"{name} {dataset} {protocol} published",
        }  # fmt: skip


def _our_metric(row: PublishedRow) -> str | None:
    name = OUR_METRIC.get(row.metric)
    nearer = (own for (start, metric), own in NEARER.items() if row.protocol.startswith(start) and metric == name)
    return next(nearer, name)


def _paper_cell(row: PublishedRow | None) -> dict[str, Any]:
    if row is None:
        return {"value": "", "sort": "", "span": "", "reason": "", "best": False}
    digits = len(row.printed.partition(".")[2]) + (2 if row.unit == "percent" else 0)
    value = {"value": number(row.fraction, digits), "sort": _sortable(row.fraction)}
    return {**value, "span": row.flag, "reason": row.note, "best": False}


def _sortable(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"


def _constants(runs: Sequence[RunResult]) -> str:
    """The constant answers of the run with the most images, in words; where the data differ, for each of them."""
    largest: dict[str, RunResult] = {}
    for result in sorted(runs, key=lambda r: r.dataset.n_samples_effective):
        if result.baselines:
            largest[result.dataset.fingerprint] = result
    by_data = {
        _data_name(result): ", ".join(
            f"{row.policy.replace('_', ' ')} F2 {number(row.values.get('f2'), 3)}" for row in result.baselines
        )
        for result in largest.values()
    }
    if len(by_data) < 2:
        return "".join(by_data.values())
    return "; ".join(f"data {data}: {text}" for data, text in by_data.items())


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
        yield f"Not the whole dataset: {images(result)} images."
    yield from result.dataset.notes


def _bars(result: RunResult, metric: str) -> dict[str, Any]:
    rows = []
    for own in (m for m in result.metrics if m.metric == metric):
        drawn = own.value is not None
        spans = drawn and own.low is not None and own.high is not None
        low, high = (own.low or 0.0, own.high or 0.0)
        remark = own.explained or f"n {own.n}, {own.n_defective} defective"
        if spans:
            remark += f", 95 %: {low:.3f} – {high:.3f}"
        elif own.no_interval:
            remark += f", {own.no_interval}"
        if own.threshold is not None:
            remark += f", at score ≥ {own.threshold:.4g}"
        rows.append(
            {
                "category": own.category,
                "value": number(own.value),
                "width": _percent(own.value),
                "from": _percent(low) if spans else None,
                "span": _percent(max(high - low, 0.002)) if spans else None,
                "remark": remark,
            }
        )
    return {"metric": metric_title(metric), "rows": rows}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100.0 * min(max(value, 0.0), 1.0), 2)


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
    yield "machine", ", ".join(f"{k} {v}" for k, v in measured.hardware.items() if v is not None)
    yield "packages", ", ".join(f"{k} {v}" for k, v in measured.packages.items())
    yield "started", measured.started
    yield "command", shlex.join(measured.command)
