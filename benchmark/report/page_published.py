"""Published numbers in the leaderboard: one row for each method, paper and protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmark.core.resources import BASELINES, CONF
from benchmark.report.kept import kept
from benchmark.report.papers import fairness, published_row
from benchmark.report.papers import published as reading
from benchmark.report.papers.fairness import NEARER, OTHER_NAME, WHOLE, other_data
from benchmark.report.papers.published import protocols, published
from benchmark.report.papers.published_row import OUR_METRIC, PublishedRow
from benchmark.report.tables import number, sortable
from benchmark.results.schema import RunResult


def published_entries(
    runs: Sequence[RunResult], metrics: Sequence[str], others: Sequence[Sequence[RunResult]]
) -> list[dict[str, Any]]:
    """Return published levels over the whole dataset that some runs are of.

    A number stands beside the runs whose images are its own; where no runs have them, beside all, and says so.

    Args:
        runs: on the same images.
        metrics: our metrics, in the order of the cells.
        others: runs on other images of the same dataset.
    """
    sides = [
        {json.dumps([r.config.get("dataset"), r.protocol.settings], sort_keys=True) for r in s} for s in (runs, *others)
    ]
    folders = (BASELINES, CONF / "dataset", CONF / "protocol")
    read = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    told = json.dumps([runs[0].dataset.name, list(metrics), [sorted(side) for side in sides]])
    made_by = (sys.modules[__name__], fairness, reading, published_row)
    return list(kept(lambda _: list(_entries(runs, metrics, others)), of=(*read, told), by=made_by))


def _entries(
    runs: Sequence[RunResult], metrics: Sequence[str], others: Sequence[Sequence[RunResult]]
) -> Iterator[dict[str, Any]]:
    dataset = runs[0].dataset.name
    theirs = OTHER_NAME.get(dataset, dataset)
    groups: dict[tuple[str, str, str], list[PublishedRow]] = {}
    for row in published():
        level = row.usable and row.fraction is not None and _our_metric(row) in metrics
        if level and row.dataset == theirs and row.category in WHOLE:
            part = "" if row.category == "mean" else f", {row.category}"
            groups.setdefault((row.paper + part, row.method, row.protocol), []).append(row)
    for (paper, method, protocol), rows in groups.items():
        apart = _apart(runs, rows[0])
        if apart and any(not _apart(other, rows[0]) for other in others):
            continue
        values = {_our_metric(r): r for r in reversed(rows)}  # of several the first, as in the paper's table
        about = protocols()[protocol]
        words = [
            ("published", about.because),
            *([("protocol in part", about.because)] if about.match == "part" else []),
        ]
        words += [("other images", apart)] if apart else []
        name = f"{method} ({paper})"
        yield {
            "name": name, "protocol": about.preset or protocol, "anchor": "", "differs": "", "partial": False, "n": 0,
            "images": "", "reference": False, "cells": [published_cell(values.get(m)) for m in metrics],
            "tags": [{"text": word, "bad": False, "title": why} for word, why in words],
            "text": f"{name} {dataset} {protocol} published",
        }  # fmt: skip


def _apart(runs: Sequence[RunResult], row: PublishedRow) -> str:
    """Say how the images of runs are not those of a published number; "" where those of one run are."""
    by_protocol = {r.protocol.hash: r for r in reversed(runs)}  # the images of all of them are the same
    told = ["; ".join(other_data(result, row)) for result in by_protocol.values()]
    return "" if "" in told else told[0]


def _our_metric(row: PublishedRow) -> str | None:
    name = OUR_METRIC.get(row.metric)
    nearer = (own for (start, metric), own in NEARER.items() if row.protocol.startswith(start) and metric == name)
    return next(nearer, name)


def published_cell(row: PublishedRow | None) -> list[Any]:
    """Return a published number as a cell of the leaderboard, with the digits that were printed; no rank."""
    if row is None:
        return ["", "", "", "", 0, 0]
    digits = len(row.printed.partition(".")[2]) + (2 if row.unit == "percent" else 0)
    return [number(row.fraction, digits), sortable(row.fraction), row.flag, row.note, 0, 0]
