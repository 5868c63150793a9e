"""What the runs of a report say in one sentence a dataset: which method leads, by how much, and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.core.errors import ResultsError
from benchmark.core.text import counted
from benchmark.report.kept import kept
from benchmark.report.page_board import Column, main_metric
from benchmark.report.page_data import anchor
from benchmark.report.papers import significance
from benchmark.report.papers.fairness import images, is_partial
from benchmark.report.papers.significance import p_values, pair
from benchmark.report.run_names import method_key, method_names, seed_key
from benchmark.report.tables import number, outward
from benchmark.results import files
from benchmark.results.replicates import REPLICATES, read_replicates
from benchmark.results.schema import RunResult
from benchmark.scoring import swap_parts
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics import swap
from benchmark.scoring.metrics.registry import METRICS
from benchmark.scoring.metrics.registry import title as metric_title


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method on one dataset; where it ran with several seeds, the run of the median value stands for it."""

    run: RunResult
    row: MetricRecord
    seeds: int

    @property
    def value(self) -> float:
        """Value of the metric by which methods are set in order."""
        assert self.row.value is not None
        return self.row.value


def findings(columns: Sequence[Column], folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Return what each column of the leaderboard says, one for each protocol, as parts of a sentence.

    Those of which nothing can be concluded stand last.

    Args:
        columns: runs by the images that they saw.
        folders: run id -> its folder.
    """
    found = []
    for column in columns:
        groups: dict[str, list[RunResult]] = {}
        for result in column.runs:
            groups.setdefault(result.protocol.hash, []).append(result)
        several = len(groups) > 1
        for members in groups.values():
            one = _finding(members, folders)
            protocol = f" under protocol {members[0].protocol.name}" if several else ""
            found.append({"data": column.name, "protocol": protocol, **one})
    return sorted(found, key=lambda one: bool(one["nothing"]))


def _finding(runs: Sequence[RunResult], folders: Mapping[str, Path]) -> dict[str, Any]:
    """What runs on the same images under one protocol say."""
    meaningful = [r for r in runs if not r.meaningless]
    whole = [r for r in meaningful if not is_partial(r)]
    chosen = whole or meaningful
    metric = main_metric(chosen)
    if metric is None:
        return {"nothing": "every run is of random weights" if not meaningful else "no metric is defined"}
    first, *others = candidates(chosen, metric)
    names = method_names(chosen)
    ends = outward(first.row.low, first.row.high)
    level = f"{round(100 * float(first.run.protocol.settings.get('confidence', 0.95)))} %"
    return {
        "nothing": "",
        "method": names[first.run.id],
        "anchor": anchor(first.run),
        "metric": metric_title(metric),
        "description": METRICS[metric].description if metric in METRICS else metric,
        "value": number(first.row.value, 3),
        "interval": f"{level} interval {ends[0]:.3f} – {ends[1]:.3f}" if ends else "no interval",
        "images": counted(images(first.run), "image"),
        "partial": not whole,
        "seeds": first.seeds,
        "methods": 1 + len(others),
        **_lead(first, others[0] if others else None, metric, names, folders),
    }


def candidates(runs: Sequence[RunResult], metric: str) -> list[Candidate]:
    """Return the methods that have a value, best first; of several seeds the lower median stands for the method.

    Args:
        runs: on the same images under one protocol.
        metric: its name.
    """
    spec = METRICS.get(metric)
    sign = 1.0 if spec is None or spec.higher_is_better else -1.0
    methods: dict[str, dict[str, tuple[RunResult, MetricRecord]]] = {}
    for result in runs:
        row = result.headline().get(metric)
        if row is not None and row.value is not None:
            methods.setdefault(method_key(result), {}).setdefault(seed_key(result), (result, row))
    found = []
    for seeds in methods.values():
        ordered = sorted(seeds.values(), key=lambda pair: sign * (pair[1].value or 0.0))
        run, row = ordered[(len(ordered) - 1) // 2]
        found.append(Candidate(run=run, row=row, seeds=len(seeds)))
    return sorted(found, key=lambda c: -sign * c.value)


def _lead(
    first: Candidate, second: Candidate | None, metric: str, names: Mapping[str, str], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """How far the best method is ahead of the second, and whether that is more than chance.

    Comparing the winner with the runner-up needs no correction for the number of methods (S. Gutmann and Z. Maymin,
    Annals of Statistics 15, 1987; K. Hung and W. Fithian, Annals of Statistics 47, 2019).
    """
    if second is None:
        return {"second": "", "verdict": "", "sure": None, "level": False}
    told = {"second": names[second.run.id], "second_value": number(second.value, 3), "level": False}
    if first.value == second.value:
        return {**told, "verdict": "", "sure": False, "level": True}
    p = lead_p(folders[first.run.id], folders[second.run.id], metric, first.row.category)
    if p is not None:
        level = 1.0 - float(first.run.protocol.settings.get("confidence", 0.95))
        sure = p <= level + 1e-12
        verdict = f"{'beyond' if sure else 'within'} chance (p {p:.2g} by a paired test over images)"
        return {**told, "verdict": verdict, "sure": sure}
    ends = [v for row in (first.row, second.row) for v in (row.low, row.high)]
    if None in ends:
        return {**told, "verdict": "not tested: an interval is missing", "sure": None}
    low, high, other_low, other_high = (float(v or 0.0) for v in ends)
    sure = low > other_high or high < other_low
    verdict = (
        "beyond chance: their intervals lie apart"
        if sure
        else "not shown to be more than chance: their intervals overlap"
    )
    return {**told, "verdict": verdict, "sure": sure}


def lead_p(first: Path, second: Path, metric: str, category: str) -> float | None:
    """Return the p-value of the image-swap permutation test of two runs; None where one kept nothing of its images.

    Args:
        first: folder of a run.
        second: folder of another on the same images under the same protocol.
        metric: its name.
        category: of the row that is tested.
    """
    details = [folder / REPLICATES for folder in (first, second)]
    if not all(path.is_file() for path in details):
        return None
    try:
        found = kept(
            lambda _: _p(first, second, metric, category),
            of=(*details, first / files.RESULT, second / files.RESULT, metric, category),
            by=(sys.modules[__name__], significance, swap, swap_parts),
        )
    except ResultsError as error:
        print(f"left out: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return None if found is None else float(found)


def _p(first: Path, second: Path, metric: str, category: str) -> float | None:
    one, two = (files.read_result(folder) for folder in (first, second))
    both = pair(one, two, read_replicates(first), read_replicates(second))
    wanted = {key: rows for key, rows in both.rows.items() if key[0] == metric}
    return p_values(replace(both, rows=wanted)).get((metric, category))
