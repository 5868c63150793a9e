"""The leaderboard of the page: methods × datasets, ranks among what compares, published numbers beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.core.text import counted
from benchmark.report.page_data import anchor
from benchmark.report.page_published import published_entries
from benchmark.report.papers.fairness import images, is_partial
from benchmark.report.run_names import data_name, method_key, settings_apart
from benchmark.report.tables import number, outward, sortable
from benchmark.results.schema import RunResult
from benchmark.scoring.metrics.registry import METRICS
from benchmark.scoring.metrics.registry import title as metric_title

REFERENCE = {"text": "reference result", "bad": False, "title": "came with the project, see results/reference"}
PREFERRED = ("image_auroc", "image_ap", "aupro", "ap", "auroc", "balanced_accuracy", "f2")
"""Metrics by which methods are set in order, the first one that most runs define."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """Runs on the same images."""

    name: str
    """What the data is called, with what tells it from other data of that name."""
    runs: tuple[RunResult, ...]


def columns(runs: Sequence[RunResult], *, references: frozenset[str] = frozenset()) -> list[Column]:
    """Group runs by the images that they saw.

    Args:
        runs: of any datasets.
        references: ids of those that came with the project; data that have no other run stand last.
    """
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for result in runs:
        groups.setdefault((result.data_label, result.dataset.fingerprint), []).append(result)
    labels = Counter(label for label, _ in groups)
    sizes = Counter((label, _size(group)) for (label, _), group in groups.items())
    found = []
    for (label, _), group in groups.items():
        size = _size(group)
        more = f"{counted(size, 'image')}" if sizes[label, size] == 1 else data_name(group[0])
        own_first = tuple(sorted(group, key=lambda r: r.id in references))
        found.append(Column(name=label if labels[label] == 1 else f"{label}, {more}", runs=own_first))
    return sorted(found, key=lambda c: (c.runs[0].id in references, c.runs[0].data_label, -_size(c.runs)))


def _size(runs: Sequence[RunResult]) -> int:
    return max(r.dataset.n_samples_original for r in runs)


def board(runs: Sequence[RunResult], *, references: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the leaderboard as plain values: metrics, columns, rows, and an entry for each run and published row.

    Args:
        runs: of any datasets.
        references: ids of those that came with the project.
    """
    found = columns(runs, references=references)
    metrics = _metrics(runs)
    rows = _Rows(runs)
    entries = [
        entry
        for at, column in enumerate(found)
        for entry in (
            *_entries(at, column, metrics, rows, references),
            *(
                {**e, "row": rows.add(e, at), "col": at}
                for e in published_entries(column.runs, metrics, _others(found, at))
            ),
        )
    ]
    main = main_metric(runs)
    return {
        "metrics": [
            {"name": m, "title": metric_title(m), "description": _description(m), "higher": _higher(m)} for m in metrics
        ],
        "main": metrics.index(main) if main else 0,
        "columns": [
            {
                "name": column.name,
                "notes": list(dict.fromkeys(n for r in column.runs for n in r.dataset.notes)),
                "constants": _constants(column.runs),
            }
            for column in found
        ],
        "protocols": [{"name": name, "about": _about(protocol)} for name, protocol in sorted(_protocols(runs).items())],
        "rows": rows.found,
        "entries": entries,
    }


def _protocols(runs: Sequence[RunResult]) -> dict[str, Mapping[str, Any]]:
    return {r.protocol.name: r.protocol.settings for r in runs}


def _about(settings: Mapping[str, Any]) -> str:
    """Say how a protocol scores, in one line."""
    averaging = "mean over categories" if settings.get("averaging") == "categories" else "all images together"
    good = "good images included" if settings.get("include_good") else "defective images alone"
    size = settings.get("size") or "native"
    level = f"{float(settings.get('confidence', 0.95)):.0%} intervals over images"
    resamples = settings.get("resamples")
    return f"{averaging}, {good}, size {size}, {level}" + (f" from {resamples} resamples" if resamples else "")


class _Rows:
    """Rows of the board: one for each method, seed and protocol, and a further one where a column is taken."""

    def __init__(self, runs: Sequence[RunResult]) -> None:
        self._methods = settings_apart(runs, methods=True)
        self._seeds = Counter(method_key(r) for r in {(method_key(r), _seed(r)): r for r in runs}.values())
        self._places: dict[tuple[Any, ...], list[tuple[int, set[int]]]] = {}
        self.found: list[dict[str, Any]] = []

    def place(self, result: RunResult, column: int) -> int:
        """Return the row of a run."""
        method = method_key(result)
        seed = f"seed {_seed(result)}" if self._seeds[method] > 1 else ""
        told = ", ".join(filter(None, [self._methods[result.id], seed]))
        row = {"name": result.choices["pipeline"], "differs": told, "protocol": result.protocol.name, "paper": False}
        return self._free((method, _seed(result), result.protocol.hash), row, column)

    def add(self, entry: Mapping[str, Any], column: int) -> int:
        """Return the row of a published entry."""
        row = {"name": entry["name"], "differs": "", "protocol": entry["protocol"], "paper": True}
        return self._free((entry["name"], entry["protocol"]), row, column)

    def _free(self, key: tuple[Any, ...], row: dict[str, Any], column: int) -> int:
        known = self._places.setdefault(key, [])
        for at, taken in known:
            if column not in taken:
                taken.add(column)
                return at
        known.append((len(self.found), {column}))
        self.found.append(row)
        return len(self.found) - 1


def _seed(result: RunResult) -> str:
    return str(result.config.get("run", {}).get("seed"))


def _others(found: Sequence[Column], at: int) -> list[Sequence[RunResult]]:
    """Runs of the other columns on data of the same dataset."""
    name = found[at].runs[0].dataset.name
    return [c.runs for other, c in enumerate(found) if other != at and c.runs[0].dataset.name == name]


def main_metric(runs: Sequence[RunResult]) -> str | None:
    """Return the metric by which runs are set in order; None where none is defined.

    It is the one that most runs define, and of several the first of ``PREFERRED``, or of the registry.
    """
    times = Counter(name for r in runs for name, row in r.headline().items() if row.value is not None)
    order = [*PREFERRED, *METRICS]
    return min(times, key=lambda m: (-times[m], order.index(m) if m in order else len(order)), default=None)


def _metrics(runs: Sequence[RunResult]) -> list[str]:
    """Metrics of some runs: those of images before those of pixels, those that no run defines last."""
    present = {m.metric for r in runs for m in r.metrics}
    defined = {m.metric for r in runs for m in r.metrics if m.value is not None}
    known = [name for name in METRICS if name in present] + sorted(present - set(METRICS))
    return sorted(known, key=lambda name: (name not in defined, not name.startswith("image_")))


def _description(name: str) -> str:
    return METRICS[name].description if name in METRICS else name


def _higher(name: str) -> bool:
    return name not in METRICS or METRICS[name].higher_is_better


def _ranks(runs: Sequence[RunResult], metric: str) -> dict[str, tuple[int, int]]:
    """Run id -> its rank, and of how many, among whole runs under one protocol on the same images."""
    sign = 1.0 if _higher(metric) else -1.0
    groups: dict[str, dict[str, float]] = {}
    for result in runs:
        own = result.headline().get(metric)
        if own is not None and own.value is not None and not is_partial(result):
            groups.setdefault(result.protocol.hash, {})[result.id] = sign * own.value
    return {
        name: (1 + sum(other > value for other in group.values()), len(group))
        for group in groups.values()
        for name, value in group.items()
    }


def _entries(
    at: int, column: Column, metrics: Sequence[str], rows: _Rows, references: frozenset[str]
) -> Iterator[dict[str, Any]]:
    apart = settings_apart(column.runs)
    ranks = {metric: _ranks(column.runs, metric) for metric in metrics}
    for result in column.runs:
        tags = [*_tags(result), *([REFERENCE] if result.id in references else [])]
        yield {
            "row": rows.place(result, at),
            "col": at,
            "anchor": anchor(result),
            "differs": apart[result.id],
            "partial": is_partial(result),
            "images": images(result),
            "n": result.dataset.n_samples_effective,
            "reference": result.id in references,
            "cells": [_cell(result, metric, ranks[metric].get(result.id)) for metric in metrics],
            "tags": tags,
            "text": " ".join([result.id, *result.choices.values(), result.dataset.name, apart[result.id]]),
        }


def _cell(result: RunResult, metric: str, rank: tuple[int, int] | None) -> list[Any]:
    """Value, number to sort by, interval, remark, rank and of how many."""
    own = result.headline().get(metric)
    value = own.value if own else None
    ends = outward(own.low, own.high) if own else None
    span = f"{ends[0]:.3f} – {ends[1]:.3f}" if ends else ""
    reason = (own.explained or own.no_interval or "") if own else "not computed by this run"
    return [number(value), sortable(value), span, reason, *(rank or (0, 0))]


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


def _constants(runs: Sequence[RunResult]) -> str:
    """The constant answers of the run with the most images, in words."""
    having = [r for r in runs if r.baselines]
    if not having:
        return ""
    largest = max(having, key=lambda r: r.dataset.n_samples_effective)
    return ", ".join(
        f"{row.policy.replace('_', ' ')} F2 {number(row.values.get('f2'), 3)}" for row in largest.baselines
    )
