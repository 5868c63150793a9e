"""Further charts of the page, of one look with ``charts``: categories, confusion matrices, sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.report.charts import COLOURS, DASHES, MOST_LINES, Spec
from benchmark.report.tables import number
from benchmark.scoring.decision import Decision
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics.registry import title

if TYPE_CHECKING:
    import pandas as pd

RIGHT, WRONG = COLOURS[0], COLOURS[3]


def category_bars(rows: Sequence[MetricRecord]) -> Spec:
    """Return one metric as a bar for each category, with its interval.

    Args:
        rows: of one metric.
    """
    values = [
        {"category": r.category, "value": _short(r.value), "low": _short(r.low), "high": _short(r.high),
         "text": number(r.value, 3), "images": r.n, "defective": r.n_defective}
        for r in rows
    ]  # fmt: skip
    top = max([1.0, *(v for r in rows for v in (r.value, r.high) if v is not None)])
    x: Spec = {
        "type": "quantitative",
        "scale": {"domain": [0, top]},
        "axis": {"tickCount": 6},
        "title": title(rows[0].metric),
    }
    tooltip = [{"field": name} for name in ("category", "value", "low", "high", "images", "defective")]
    layers = [
        {"mark": {"type": "bar", "color": COLOURS[4], "height": 14},
         "encoding": {"x": {"field": "value", **x}, "tooltip": tooltip}},
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}}},
        {"mark": {"type": "text", "align": "left", "baseline": "middle"},
         "encoding": {"x": {"datum": 0, "type": "quantitative"}, "xOffset": {"value": 4}, "text": {"field": "text"}}},
    ]  # fmt: skip
    y = {"field": "category", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 180}}
    return _whole(values, height=24 * len(rows) + 10, layer=layers, encoding={"y": y})


def confusion(found: Sequence[Decision]) -> Spec:
    """Return the confusion matrix of each decision, right answers and wrong ones in two colours.

    Args:
        found: decisions about the same images.
    """
    values = [
        {"decision": d.name, "truth": truth, "called": called, "images": n, "right": truth == called,
         "share": _short(n / max(1, of))}
        for d in found
        for truth, called, n, of in (
            ("defective", "defective", d.tp, d.tp + d.fn), ("defective", "good", d.fn, d.tp + d.fn),
            ("good", "defective", d.fp, d.fp + d.tn), ("good", "good", d.tn, d.fp + d.tn),
        )
    ]  # fmt: skip
    order = ["defective", "good"]
    names = [d.name for d in found]
    encoding = {
        "x": {"field": "called", "type": "nominal", "sort": order, "title": "called", "axis": {"labelAngle": 0}},
        "y": {"field": "truth", "type": "nominal", "sort": order, "title": "is"},
        "tooltip": [{"field": name} for name in ("decision", "truth", "called", "images", "share")],
    }
    colour = {"field": "right", "legend": None, "scale": {"domain": [True, False], "range": [RIGHT, WRONG]}}
    opacity = {
        "field": "share",
        "type": "quantitative",
        "legend": None,
        "scale": {"domain": [0, 1], "range": [0, 0.55]},
    }
    cells = {"mark": {"type": "rect"}, "encoding": {"color": colour, "opacity": opacity}}
    counts = {"mark": {"type": "text", "fontSize": 13}, "encoding": {"text": {"field": "images"}}}
    header = {"title": None, "labelLimit": 190, "labelFontSize": 11, "labelExpr": "split(datum.value, ': ')"}
    inner = {"width": 120, "height": 70, "encoding": encoding, "layer": [cells, counts]}
    return {
        "data": {"values": values},
        "facet": {"field": "decision", "type": "nominal", "sort": names, "header": header},
        "columns": 2,
        "spec": inner,
    }


def sweep_charts(points: pd.DataFrame, parameters: Sequence[str], metric: str) -> list[tuple[str, Spec]]:
    """Return titles and charts of a metric over each numeric parameter, and over two of them as a heat map.

    Args:
        points: one row a point, with the columns of ``parameters``, ``metric``, ``<metric>_low`` and ``_high``.
        parameters: swept ones; those over which no line is drawn tell lines apart.
        metric: a column.
    """
    import pandas as pd

    done = points[points[metric].notna()]
    numeric = [p for p in parameters if pd.api.types.is_numeric_dtype(done[p]) and done[p].nunique() > 1]
    found = [(f"{title(metric)} over {_last(p)}", _lines(done, p, parameters, metric)) for p in numeric]
    if len(numeric) == len(parameters) == 2:
        found.append(
            (
                f"{title(metric)} over {_last(numeric[0])} and {_last(numeric[1])}",
                _heat(done, numeric[0], numeric[1], metric),
            )
        )
    return found


def _lines(done: pd.DataFrame, parameter: str, parameters: Sequence[str], metric: str) -> Spec:
    others = [p for p in parameters if p != parameter]
    values = [
        {"x": _plain(row[parameter]), "value": _short(row[metric]), "low": _short(row.get(f"{metric}_low")),
         "high": _short(row.get(f"{metric}_high")), "of": ", ".join(f"{_last(o)} {_plain(row[o])}" for o in others)}
        for _, row in done.iterrows()
    ]  # fmt: skip
    names = list(dict.fromkeys(v["of"] for v in values))[:MOST_LINES]
    values = [v for v in values if v["of"] in names]
    x = {
        "field": "x",
        "type": "quantitative",
        "title": _last(parameter),
        "scale": {"zero": False},
        "axis": {"tickCount": 6},
    }
    y: Spec = {"type": "quantitative", "title": title(metric), "scale": {"zero": False}}
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(names))]
    dashes = [DASHES[k % len(DASHES)] for k in range(len(names))]
    legend = {"title": None, "orient": "bottom", "columns": 3, "symbolType": "stroke"} if others else None
    looks = {
        "color": {"field": "of", "scale": {"domain": names, "range": colours}, "legend": legend},
        "strokeDash": {"field": "of", "scale": {"domain": names, "range": dashes}, "legend": legend},
    }
    tooltip = [{"field": "x", "title": _last(parameter)}, *({"field": name} for name in ("value", "low", "high", "of"))]
    layers: list[Spec] = [
        {"mark": {"type": "line", "point": True, "strokeWidth": 2},
         "encoding": {"y": {"field": "value", **y}, **looks, "tooltip": tooltip}}
    ]  # fmt: skip
    if not others:
        band = {"y": {"field": "low", **y}, "y2": {"field": "high"}}
        layers.insert(0, {"mark": {"type": "area", "opacity": 0.18, "color": COLOURS[0]}, "encoding": band})
    return _whole(values, height=220, layer=layers, encoding={"x": x})


def _heat(done: pd.DataFrame, x: str, y: str, metric: str) -> Spec:
    means: Any = done.groupby([x, y], as_index=False)[metric].mean()
    cells = zip(means[x], means[y], means[metric], strict=True)
    values = [{"x": _plain(a), "y": _plain(b), "value": _short(v), "text": number(float(v), 3)} for a, b, v in cells]
    axes = {
        "x": {"field": "x", "type": "ordinal", "title": _last(x), "axis": {"labelAngle": 0}},
        "y": {"field": "y", "type": "ordinal", "title": _last(y), "sort": "descending"},
    }
    colour = {"field": "value", "type": "quantitative", "title": title(metric), "scale": {"scheme": "viridis"}}
    middle = float(means[metric].min() + means[metric].max()) / 2
    ink = {"condition": {"test": f"datum.value > {middle!r}", "value": "#000"}, "value": "#fff"}
    layers = [
        {"mark": {"type": "rect"}, "encoding": {"color": colour}},
        {"mark": {"type": "text"}, "encoding": {"text": {"field": "text"}, "color": ink}},
    ]
    return _whole(values, height=max(90, 34 * done[y].nunique()), layer=layers, encoding=axes)


def _whole(values: Sequence[dict[str, Any]], *, height: int, layer: Sequence[Spec], encoding: Spec) -> Spec:
    return {
        "data": {"values": list(values)}, "width": "container", "height": height, "encoding": encoding,
        "layer": list(layer),
    }  # fmt: skip


def _last(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _plain(value: Any) -> Any:
    """A cell of a data frame as JSON has it; a missing one as a dash."""
    if value is None or value != value:
        return "–"
    return value.item() if hasattr(value, "item") else value


def _short(value: Any) -> float | None:
    return None if value is None or value != value else float(f"{float(value):.6g}")
