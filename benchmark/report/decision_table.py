"""What a run's image scores mean to a factory: thresholds, costs, confusion matrices, calibration."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.errors import ResultsError
from benchmark.core.table import Grid
from benchmark.report.page_figures import COLOURS, INK, inline
from benchmark.results import files
from benchmark.results.schema import RunResult
from benchmark.scoring.decision import Calibration, Costs, Decision, Scores, Truth, calibration, cost_curve, decisions
from benchmark.scoring.metrics.intervals import wilson


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
    )


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
            f"a false-alarm rate of {found.rate:.3g} takes {needed} good images to set, a half has about {half}: by "
            "good images alone nothing is called defective"
        )
    if found.left_out:
        notes.append(f"{found.left_out} images without a score are left out")
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


def figure(found: Judged, *, name: str) -> str:
    """Draw the cost of every threshold, and the reliability of scores that are probabilities, as SVG.

    Args:
        found: of one run.
        name: makes the ids inside the SVG unique on the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    thresholds, cost = cost_curve(found.scores, found.truth, found.costs)
    finite = np.isfinite(thresholds)
    style: Any = {"svg.hashsalt": name, "svg.fonttype": "path", "font.size": 9}
    style |= {f"{part}color": INK for part in ("text.", "axes.label", "axes.edge", "xtick.", "ytick.")}
    with mpl.rc_context(style):
        drawn = Figure(figsize=(6.4, 2.8))  # a layout that is worked out takes as long as all of the drawing
        drawn.subplots_adjust(left=0.1, right=0.985, bottom=0.18, top=0.96, wspace=0.24)
        FigureCanvasSVG(drawn)
        panels = drawn.subplots(1, 1 if found.calibration is None else 2, squeeze=False)[0]
        panels[0].plot(thresholds[finite], cost[finite], color=COLOURS[0], drawstyle="steps-post")
        best = found.decisions[0]
        if best.threshold is not None and np.isfinite(best.threshold):
            panels[0].axvline(best.threshold, color=COLOURS[3], linewidth=1.0, linestyle="--")
        panels[0].set_xlabel("score from which an image is called defective")
        panels[0].set_ylabel("cost of an image")
        panels[0].set_ylim(bottom=0.0)
        if found.calibration is not None:
            panels[1].plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
            panels[1].plot(found.calibration.score, found.calibration.share, "o-", color=COLOURS[1], markersize=4)
            panels[1].set_xlabel("score")
            panels[1].set_ylabel("share of defective images")
            panels[1].set_xlim(0, 1)
            panels[1].set_ylim(0, 1)
        for panel in panels:
            panel.grid(alpha=0.25)
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue())
