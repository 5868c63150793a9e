"""Charts of the report as Vega-Lite specifications, drawn by the reader's browser when they come into view.

A specification takes microseconds to make where a drawn figure took a fifth of a second, so that hundreds of runs fit
one page. The library that draws them comes whole in one piece from ``vl-convert-python``, and lies in the page.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import vl_convert
from numpy.typing import NDArray

from benchmark.report.kept import kept
from benchmark.report.ranks import Ranking
from benchmark.results.replicates import Curve
from benchmark.scoring.decision import Calibration

Spec = dict[str, Any]
"""A Vega-Lite specification."""

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#999933", "#7f7f7f")
"""Told apart by colour-blind readers too (Okabe and Ito 2008, but for its yellow and black, which one ground hides)."""
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
MOST_LINES = 12
MOST_POINTS = 300


@functools.cache
def library() -> str:
    """Return JavaScript that gives the page ``vegaEmbed``."""
    made = kept(
        lambda _: vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        of=(f"vl-convert {version('vl-convert-python')}",),
        by=(sys.modules[__name__],),
    )
    return "(() => {" + str(made).replace("</script", "<\\/script") + "})();"


def as_svg(spec: Spec) -> bytes:
    """Draw a chart for a place without a browser."""
    return str(vl_convert.vegalite_to_svg({**spec, "width": 520})).encode()


def precision_recall(curves: Mapping[str, Curve]) -> Spec:
    """Return precision over recall, one line a run.

    Args:
        curves: label -> curve; at most ``MOST_LINES`` are drawn.
    """
    shown = list(curves.items())[:MOST_LINES]
    values = [
        {"run": label, "recall": recall, "precision": precision}
        for label, curve in shown
        for recall, precision in zip(
            _rounded([0.0, *curve.recall]), _rounded([curve.precision[0], *curve.precision]), strict=True
        )
    ]
    names = [label for label, _ in shown]
    legend = {"orient": "bottom", "columns": 2, "labelLimit": 320, "title": None, "symbolType": "stroke"}
    colours = [COLOURS[at % len(COLOURS)] for at in range(len(names))]
    dashes = [DASHES[(at + at // len(COLOURS)) % len(DASHES)] for at in range(len(names))]
    return {
        "data": {"values": values},
        "width": "container",
        "height": 300,
        "mark": {"type": "line", "interpolate": "step-before", "strokeWidth": 2, "clip": True},
        "encoding": {
            "x": _axis("recall", domain=[0, 1]),
            "y": _axis("precision", domain=[0, 1]),
            "order": {"field": "recall"},
            "color": {"field": "run", "legend": legend, "scale": {"domain": names, "range": colours}},
            "strokeDash": {"field": "run", "scale": {"domain": names, "range": dashes}},
            "tooltip": [{"field": name} for name in ("run", "recall", "precision")],
        },
    }


def cost_over_threshold(thresholds: NDArray[np.float64], costs: NDArray[np.float64], *, chosen: float | None) -> Spec:
    """Return the mean cost of an image over the score from which images are called defective.

    Args:
        thresholds: (K,) scores, descending; infinite ones are not drawn.
        costs: (K,) mean cost of an image at each.
        chosen: threshold that is marked.
    """
    finite = np.flatnonzero(np.isfinite(thresholds))
    best = int(np.argmin(costs))
    at = finite[np.unique(np.linspace(0, finite.size - 1, min(finite.size, MOST_POINTS)).round().astype(int))]
    at = np.unique(np.append(at, best)) if best in finite else at  # the lowest point is not thinned away
    names = ("score from which an image is called defective", "cost of an image")
    values = [
        dict(zip(names, pair, strict=True)) for pair in zip(_rounded(thresholds[at]), _rounded(costs[at]), strict=True)
    ]
    line: Spec = {
        "mark": {"type": "line", "interpolate": "step-after", "color": COLOURS[0], "strokeWidth": 2},
        "encoding": {
            "x": {**_axis(names[0]), "scale": {"zero": False}},
            "y": _axis(names[1]),
            "tooltip": [{"field": name} for name in names],
        },
    }
    layers: list[Spec] = [line]
    if chosen is not None and np.isfinite(chosen):
        mark = {"type": "rule", "color": COLOURS[3], "strokeDash": [5, 3], "strokeWidth": 1.5}
        place = {"x": {"datum": float(chosen)}}
        words = {"type": "text", "align": "left", "dx": 5, "color": COLOURS[3], "text": f"best: ≥ {chosen:.4g}"}
        layers += [
            {"data": {"values": [{}]}, "mark": mark, "encoding": place},
            {"data": {"values": [{}]}, "mark": words, "encoding": {**place, "y": {"value": 8}}},
        ]
    return {"data": {"values": values}, "width": "container", "height": 220, "layer": layers}


def reliability(found: Calibration) -> Spec:
    """Return the share of defective images over the score, with the line that probabilities would follow."""
    names = ("score", "share of defective images")
    values = [
        dict(zip(names, pair, strict=True)) for pair in zip(_rounded(found.score), _rounded(found.share), strict=True)
    ]
    ideal = {"values": [dict.fromkeys(names, 0), dict.fromkeys(names, 1)]}
    encoding = {"x": _axis(names[0], domain=[0, 1]), "y": _axis(names[1], domain=[0, 1])}
    measured = {**encoding, "tooltip": [{"field": name} for name in names]}
    return {
        "width": "container",
        "height": 220,
        "layer": [
            {"data": ideal, "mark": {"type": "line", "strokeDash": [2, 3], "color": COLOURS[7]}, "encoding": encoding},
            {
                "data": {"values": values},
                "mark": {"type": "line", "point": True, "color": COLOURS[1], "strokeWidth": 2},
                "encoding": measured,
            },
        ],
    }


def critical_difference(ranking: Ranking) -> Spec:
    """Return average ranks on a line, best at the left; methods under one bar do not differ.

    Args:
        ranking: of one metric.
    """
    methods = [
        {"method": f"{name}  {place:.2f}", "rank": place, "order": at}
        for at, (name, place) in enumerate(zip(ranking.methods, ranking.ranks, strict=True))
    ]
    bars = [
        {"rank": low, "end": high, "row": f"no difference {at + 1}"} for at, (low, high) in enumerate(alike(ranking))
    ]
    bars.append({"rank": 1.0, "end": 1.0 + ranking.critical, "row": f"critical difference {ranking.critical:.2f}"})
    names = [m["method"] for m in methods]
    rows = [b["row"] for b in reversed(bars)] + names
    most = max(len(names), 1.0 + ranking.critical)
    x = {**_axis("rank", domain=[1, most]), "title": "average rank"}
    x["axis"] = {"orient": "top", "values": list(range(1, len(names) + 1))}
    y = {"type": "nominal", "sort": rows, "scale": {"domain": rows}, "title": None, "axis": {"labelLimit": 260}}
    colours = {"domain": names, "range": [COLOURS[at % len(COLOURS)] for at in range(len(names))]}
    return {
        "width": "container",
        "height": 22 * len(rows),
        "layer": [
            {
                "data": {"values": bars},
                "mark": {"type": "rule", "strokeWidth": 4},
                "encoding": {"x": x, "x2": {"field": "end"}, "y": {"field": "row", **y}},
            },
            {
                "data": {"values": methods},
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": {"field": "method", **y},
                    "color": {"field": "method", "legend": None, "scale": colours},
                },
            },
        ],
    }


def alike(ranking: Ranking) -> list[tuple[float, float]]:
    """Return the longest stretches of ranks no wider than the critical difference, each of two methods or more."""
    found: list[tuple[float, float]] = []
    for start in ranking.ranks:
        end = max(r for r in ranking.ranks if r <= start + ranking.critical)
        if end > start and not any(low <= start and end <= high for low, high in found):
            found.append((start, end))
    return found


def _axis(name: str, *, domain: list[float] | None = None) -> Spec:
    scale = {} if domain is None else {"scale": {"domain": domain}}
    return {"field": name, "type": "quantitative", "axis": {"tickCount": 6}, **scale}


def _rounded(values: Any) -> list[float]:
    return [float(f"{v:.6g}") for v in np.asarray(values, dtype=np.float64)]


def chart(alt: str, spec: Spec) -> dict[str, Any]:
    """Return what the template draws a chart from.

    Args:
        alt: what the chart says, for readers who do not see it.
        spec: of the chart.
    """
    rows = -(-len({v["decision"] for v in spec["data"]["values"]}) // spec["columns"]) if "facet" in spec else 0
    height = int(spec.get("height", 0)) + rows * 140 + 60
    return {"alt": alt, "height": height, "spec": json_for_page(spec)}


def json_for_page(value: Any) -> str:
    """Write JSON that is safe inside a script element: no ``<``, so that no text can end it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
