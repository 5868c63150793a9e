"""Tables that earlier commands wrote, as the page shows them: those of papers and of sweeps."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.core.errors import ResultsError
from benchmark.core.text import counted
from benchmark.report.charts import chart
from benchmark.report.page_charts import sweep_charts
from benchmark.results import files
from benchmark.scoring.metrics.registry import title

MOST_POINTS = 200
"""Rows of a sweep's table that are shown."""


def paper_table(path: Path) -> dict[str, Any]:
    """Read a reproduced table: one line a number, those with a number of ours first."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if "ours" not in (reader.fieldnames or ()):
            raise ResultsError(f"{path} is no table of make reproduce; remove it")
        lines = list(reader)
    cells = []
    for line in sorted(lines, key=lambda row: not row["ours"]):
        ours, low, high, gap = (_ratio(line[k]) for k in ("ours", "low", "high", "difference"))
        theirs = line["printed"] + (" %" if line["unit"] == "percent" else "")
        span = f"{low} – {high}" if low and high else ""
        remark = line["reason"] + (f" → {line['mend']}" if line["mend"] else "")
        marks = ["random weights"] if line["random_weights"] == "true" else []
        marks += [f"{counted(line['images'], 'image')}"] if " of " in line["images"] else []
        marks += [f"published value {line['flag']}"] if line["flag"] else []
        cells.append(
            (
                line["row"],
                line["method"],
                line["metric"],
                ours,
                span,
                theirs,
                gap,
                line["protocol"],
                "; ".join(marks) or remark,
            )
        )
    title = f"{lines[0]['paper']}, {lines[0]['table']}" if lines else path.stem
    return {"title": title, "rows": cells, "n": sum(bool(line["ours"]) for line in lines), "total": len(lines)}


def _ratio(text: str) -> str:
    return f"{float(text):.4f}" if text else ""


def sweep(folder: Path) -> dict[str, Any] | None:
    """Read one sweep's table, and charts of each metric; None without a table (a paper has no swept key)."""
    import pandas as pd

    table = folder / "points.parquet"
    if not table.exists():
        return None
    points: Any = pd.read_parquet(table)
    shown = [c for c in points if not str(c).endswith(("_low", "_high")) and c not in ("run", "best")]
    names = [str(c) for c in points]
    parameters = names[names.index("best") + 1 : names.index("status")]  # as report.points writes it
    metrics = [c for c in names if f"{c}_low" in names and points[c].notna().any()]
    best = points[points["best"].astype(bool)]
    words = json.loads((folder / "command.json").read_text(encoding="utf-8"))
    return {
        "title": " ".join(w for w in words if not w.startswith(("run.", "tracking")))[:200],
        "n": len(points),
        "failed": int((points["status"] == "failed").sum()),
        "best": ", ".join(
            f"{c} {cell_text(best.iloc[0][c])}" for c in shown if c not in ("number", "status", "message")
        )
        if len(best)
        else "",
        "columns": [str(c) for c in shown],
        "rows": [[cell_text(row[c]) for c in shown] for _, row in points.head(MOST_POINTS).iterrows()],
        "metrics": [{"metric": title(m), "charts": drawn} for m in metrics if (drawn := _drawn(points, parameters, m))],
    }


def _drawn(points: Any, parameters: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """Charts of one metric of a sweep; none where no value is defined or no parameter is a number."""
    best = points[points["best"].astype(bool)]
    told = f"; best point {cell_text(best.iloc[0][metric])}" if len(best) else ""
    return [chart(f"{name}{told}", spec) for name, spec in sweep_charts(points, parameters, metric)]


def only_points(sweeps: Sequence[Path]) -> set[str]:
    """Ids of runs that stand in a sweep's table and are not its best point: they have no page of their own."""
    import pandas as pd

    found: set[str] = set()
    best: set[str] = set()
    for folder in sweeps:
        if (folder / "points.parquet").exists():
            points: Any = files.usable(folder / "points.parquet", lambda p: pd.read_parquet(p, columns=["run", "best"]))
            if points is None:
                continue
            points = points.dropna(subset=["run"])
            found |= set(points["run"])
            best |= set(points[points["best"].astype(bool)]["run"])
    return found - best


def cell_text(value: Any) -> str:
    """Return a cell's text: four digits of a number, a dash for what is missing."""
    if value is None or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def totals(path: Path) -> dict[str, float]:
    """Sum what a pipeline counted for each image: its tokens and its cost."""
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    counted = [
        name for name in pq.read_schema(path).names if name.startswith(("cost", "tokens")) or name.endswith("_tokens")
    ]
    table = pq.read_table(path, columns=counted).to_pydict()
    return {name: float(sum(v for v in values if isinstance(v, int | float))) for name, values in table.items()}
