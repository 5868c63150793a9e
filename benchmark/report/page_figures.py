"""Figures of the report as inline SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
