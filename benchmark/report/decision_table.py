"""What a run's image scores mean to a factory: thresholds, costs, confusion matrices, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.errors import ResultsError
from benchmark.core.table import Grid
from benchmark.core.text import counted
from benchmark.report.charts import Spec, cost_over_threshold, reliability
from benchmark.report.page_charts import confusion
from benchmark.results import files
from benchmark.results.schema import RunResult
from benchmark.scoring.decision import Calibration, Costs, Decision, Scores, Truth, calibration, cost_curve, decisions
from benchmark.scoring.metrics.intervals import wilson

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A run's images with what was decided about them."""

    scores: Scores
    truth: Truth
    decisions: tuple[Decision, ...]
    calibration: Calibration | None
    costs: Costs
    rate: float
    """False-alarm rate of the rule that sees good images alone."""
    left_out: int
    """Images without a score: failed answers."""
    regions: str | None = None
    """Defect regions found and false ones, where the run scored them."""


def judged(result: RunResult, folder: Path, *, costs: Costs, rate: float) -> Judged:
    """Decide about the images of a run, all categories together.

    Args:
        result: of the run.
        folder: where its per-image rows lie.
        costs: of a wrong answer.
        rate: false-alarm rate of the rule that sees good images alone.

    Raises:
        ResultsError: the run kept no image scores, or no image of one of the classes.
    """
    every = files.read_rows(folder)
    rows = every[(every["outcome"] == "ok") & every["image_score"].notna()]
    truth = rows["defective"].to_numpy(dtype=bool)
    if not truth.any() or truth.all():
        raise ResultsError(f"{result.id} has no image scores of both good and defective images; nothing to decide by")
    scores = rows["image_score"].to_numpy(dtype=np.float64)
    labels = rows["label"].to_numpy(dtype=bool) if rows["label"].notna().all() else None
    groups = [str(g) for g in rows["group"]]
    seed = int(result.config.get("run", {}).get("seed", 0))
    found = decisions(scores, truth, groups, costs=costs, rate=rate, labels=labels, seed=seed)
    return Judged(
        scores=scores,
        truth=truth,
        decisions=tuple(found),
        calibration=calibration(scores, truth),
        costs=costs,
        rate=rate,
        left_out=len(every) - len(rows),
        regions=_regions(every[every["outcome"] == "ok"]),
    )


def _regions(rows: pd.DataFrame) -> str | None:
    """Say what the binary masks make of regions, from columns that only some runs have."""
    if not {"region_recall", "false_regions"} <= set(rows.columns):
        return None
    found, false = rows["region_recall"].dropna(), rows[rows["false_regions"].notna()]
    if found.empty and false.empty:
        return None
    counts = false["false_regions"].astype(float).groupby(false["defective"].astype(bool))
    said = [f"{c.mean():.2f} an image in {len(c)} {'defective' if bad else 'good'} ones" for bad, c in counts]
    said += (
        [f"{found.mean():.3f} of the defect regions found, mean over {counted(len(found), 'image')}"]
        if len(found)
        else []
    )
    return "masks by regions: false ones " + ", ".join(said)


def grid(result: RunResult, found: Judged, *, confidence: float = 0.95) -> Grid:
    """Lay decisions out as a table, with the confusion matrix of each."""
    rows = [(*_row(d, confidence),) for d in found.decisions]
    columns = (
        "threshold chosen on", "score ≥", "found", "missed", "false alarms", "passed", "recall", "false-alarm rate",
        "cost / image",
    )  # fmt: skip
    notes = [
        f"costs: a miss {found.costs.miss:g}, a false alarm {found.costs.overkill:g}; recall and rate with Wilson's "
        f"{confidence:.0%} interval",
        "validation half: each half of the images, by groups, is judged at the threshold chosen on the other",
    ]
    half, needed = int((~found.truth).sum()) // 2, math.ceil(1.0 / found.rate) - 1
    if half < needed:
        notes.append(
            f"a false-alarm rate of {found.rate:.3g} takes {counted(needed, 'good image')} to set, a half "
            f"has about {half}: by "
            "good images alone nothing is called defective"
        )
    if found.regions is not None:
        notes.append(found.regions)
    if found.left_out:
        notes.append(f"{counted(found.left_out, 'image')} without a score left out")
    if found.calibration is not None:
        share = float(found.truth.mean())
        notes.append(
            f"scores as probabilities: Brier {found.calibration.brier:.4f} (a constant has {share * (1 - share):.4f}), "
            f"calibration error {found.calibration.error:.4f}"
        )
    title = f"{result.title}: image decisions"
    return Grid(title=title, columns=columns, rows=tuple(rows), notes=tuple(notes), left=frozenset({0, 6, 7}))


def _row(d: Decision, confidence: float) -> Iterator[str]:
    yield d.name
    yield "–" if d.threshold is None else f"{d.threshold:.4g}"
    yield from (str(n) for n in (d.tp, d.fn, d.fp, d.tn))
    for successes, trials in ((d.tp, d.tp + d.fn), (d.fp, d.fp + d.tn)):
        ends = wilson([((successes, trials),)], confidence=confidence)
        yield f"{successes / trials:.3f} [{ends.low:.3f}, {ends.high:.3f}]"
    yield f"{d.cost:.4f}"


def figures(found: Judged) -> list[tuple[str, Spec]]:
    """Return charts with their titles: confusion matrices, the cost of every threshold, scores as probabilities.

    Args:
        found: of one run.
    """
    thresholds, cost = cost_curve(found.scores, found.truth, found.costs)
    best = found.decisions[0].threshold
    told = "; ".join(
        f"{d.name}: {d.tp} found, {d.fn} missed, {d.fp} false alarms, {d.tn} passed" for d in found.decisions
    )
    least = f"least {found.decisions[0].cost:.4g}" + ("" if best is None else f" at score ≥ {best:.4g}")
    drawn = [
        (f"Cost of an image over thresholds: {least}", cost_over_threshold(thresholds, cost, chosen=best)),
        (f"Confusion matrices: {told}", confusion(found.decisions)),
    ]
    if found.calibration is not None:
        error = f"calibration error {found.calibration.error:.4f}"
        drawn.append((f"Share of defective images over the score: {error}", reliability(found.calibration)))
    return drawn
