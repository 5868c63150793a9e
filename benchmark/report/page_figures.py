"""Figures of the report as inline SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.report.ranks import Ranking
from benchmark.results.replicates import Curve

INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d")
MOST_LINES = 12


def precision_recall(curves: Mapping[str, Curve], *, name: str) -> str:
    """Draw pooled precision over recall, one line a run, as SVG without comments or metadata.

    Args:
        curves: label -> curve; at most ``MOST_LINES`` are drawn.
        name: makes the ids inside the SVG unique on the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {"svg.hashsalt": name, "svg.fonttype": "path"}
    style |= {f"{part}color": INK for part in ("text.", "axes.label", "axes.edge", "xtick.", "ytick.")}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for at, (label, curve) in enumerate(list(curves.items())[:MOST_LINES]):
            dash = "-" if at < len(COLOURS) else "--"
            axes.plot(
                [0.0, *curve.recall], [curve.precision[0], *curve.precision],
                dash, color=COLOURS[at % len(COLOURS)], label=label, drawstyle="steps-pre", linewidth=1.6,
            )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, framealpha=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue())


def critical_difference(ranking: Ranking, *, name: str) -> str:
    """Draw average ranks on a line, best at the left, with a bar over methods that do not differ.

    Args:
        ranking: of one metric.
        name: makes the ids inside the SVG unique on the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    number = len(ranking.methods)
    style: Any = {"svg.hashsalt": name, "svg.fonttype": "path", "font.size": 9}
    style |= {f"{part}color": INK for part in ("text.", "axes.label", "axes.edge", "xtick.", "ytick.")}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 1.2 + 0.2 * number), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_xlim(0.8, number + 0.2)
        bars = _alike(ranking)
        for at, (start, end) in enumerate(bars):
            height = -0.35 - 0.3 * at
            axes.plot([start - 0.04, end + 0.04], [height, height], color=INK, linewidth=3.0, solid_capstyle="butt")
        half = (number + 1) // 2
        first = -0.6 - 0.3 * len(bars)
        for at, (method, place) in enumerate(zip(ranking.methods, ranking.ranks, strict=True)):
            left = at < half  # the best ones to the left, the worst ones to the right, each with a line of its own
            height = first - 0.6 * (at if left else number - 1 - at)
            edge = 0.8 if left else number + 0.2
            axes.plot([place, place, edge], [0.0, height, height], color=COLOURS[at % len(COLOURS)], linewidth=1.2)
            axes.text(
                edge + (-0.05 if left else 0.05), height, f"{method}  {place:.2f}", va="center",
                ha="right" if left else "left",
            )  # fmt: skip
        axes.plot([1.0, 1.0 + ranking.critical], [1.3, 1.3], color=INK, linewidth=1.2, marker="|")
        axes.text(1.0, 1.75, f"critical difference {ranking.critical:.2f}", ha="left", va="center")
        axes.set_ylim(first - 0.6 * half, 2.1)
        axes.spines[["left", "right", "bottom"]].set_visible(False)
        axes.spines["top"].set_position(("data", 0.0))
        axes.xaxis.tick_top()
        axes.set_xticks(range(1, number + 1))
        axes.set_yticks([])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue())


def _alike(ranking: Ranking) -> list[tuple[float, float]]:
    """Longest stretches of ranks no wider than the critical difference, each of two methods or more."""
    found: list[tuple[float, float]] = []
    for start in ranking.ranks:
        end = max(r for r in ranking.ranks if r <= start + ranking.critical)
        if end > start and not any(low <= start and end <= high for low, high in found):
            found.append((start, end))
    return found


def inline(svg: str) -> str:
    """Strip what an SVG inside a page does not need, and give it the page's text colour."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    return body.replace(INK, "currentColor")


def short_labels(labels: Sequence[str]) -> list[str]:
    """Return labels that differ, each with a number behind it where it stands twice."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
