"""What the page shows of runs beside their numbers: decisions, breakdowns, curves and ranks, each with its charts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.core.errors import ResultsError
from benchmark.core.text import counted
from benchmark.report import charts, decision_table, page_charts
from benchmark.report.charts import MOST_LINES, chart, critical_difference, precision_recall
from benchmark.report.decision_table import figures, judged
from benchmark.report.decision_table import grid as decision_grid
from benchmark.report.kept import kept
from benchmark.report.page_board import columns
from benchmark.report.page_tables import cell_text
from benchmark.report.papers.fairness import images, is_partial
from benchmark.report.ranks import LEVEL, rankings
from benchmark.report.run_names import method_names, names
from benchmark.report.tables import number
from benchmark.results import files
from benchmark.results.replicates import REPLICATES, Curve, read_replicates
from benchmark.results.schema import RunResult
from benchmark.scoring import decision
from benchmark.scoring.decision import Costs
from benchmark.scoring.metrics import intervals
from benchmark.scoring.metrics.registry import title

Run = tuple[Path, RunResult]


def kept_decisions(folder: Path, result: RunResult) -> dict[str, Any] | None:
    """Make the decisions of a run, or take those that an earlier report made: they take most of its time."""
    rows = folder / files.ROWS
    if not rows.exists():
        return None
    seed = str(result.config.get("run", {}).get("seed", 0))
    made_by = (decision_table, charts, page_charts, decision, intervals, sys.modules[__name__])
    found = kept(lambda _: _decisions(folder, result), of=(rows, result.id, seed), by=made_by)
    return None if found is None else dict(found)


def _decisions(folder: Path, result: RunResult) -> dict[str, Any] | None:
    """Thresholds by the usual costs, as a table and charts; None where a run kept no scores of both classes."""
    try:
        found = judged(result, folder, costs=Costs(), rate=0.05)
    except ResultsError:
        return None
    table = decision_grid(result, found)
    return {
        "title": "Decisions at a threshold", "columns": table.columns, "rows": table.rows, "notes": table.notes,
        "charts": [chart(alt, spec) for alt, spec in figures(found)],
    }  # fmt: skip


def parts(folder: Path) -> Iterator[dict[str, Any]]:
    """Metrics by defect type, size and image, one table for all of a category."""
    rows = files.read_breakdown(folder)
    for category in dict.fromkeys(str(r["category"]) for r in rows):
        own = [r for r in rows if r["category"] == category]
        metrics = list(dict.fromkeys(str(r["metric"]) for r in own))
        lines: dict[tuple[str, str], dict[str, Any]] = {}
        for row in own:
            lines.setdefault((str(row["by"]), str(row["part"])), {})[str(row["metric"])] = row
        cells = []
        for (by, part), values in lines.items():
            sizes = max(values.values(), key=lambda r: int(r["n"]))
            shown = ["" if m not in values else cell_text(values[m]["value"]) for m in metrics]
            cells.append([by.replace("_", " "), part, f"{sizes['n_defective']} of {sizes['n']}", *shown])
        columns = ["by", "part", "defective", *(title(m) for m in metrics)]
        yield {"title": f"By defect type, size and image: {category}", "columns": columns, "rows": cells}


def curves(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """One figure for the runs on the same images under one protocol; of many, those of the highest precision."""
    folders = {result.id: folder for folder, result in runs if (folder / REPLICATES).exists()}
    for column in columns([result for _, result in runs]):
        members = [r for r in column.runs if r.id in folders and not r.meaningless]
        for protocol in dict.fromkeys(r.protocol.name for r in members):
            found = {r.id: _curve(folders[r.id]) for r in members if r.protocol.name == protocol}
            defined = [r for r in members if found.get(r.id) is not None]
            if not defined:
                continue
            drawn = sorted(defined, key=lambda r: (is_partial(r), -_average_precision(r)))[:MOST_LINES]
            called = names(defined)
            labels = {
                r.id: called[r.id] + (f" ({counted(images(r), 'image')})" if is_partial(r) else "") for r in drawn
            }
            spec = precision_recall({labels[r.id]: curve for r in drawn if (curve := found[r.id]) is not None})
            told = ", ".join(f"{labels[r.id]}: average precision {_value(r, 'ap')}" for r in drawn)
            some = f": {len(drawn)} of {len(defined)} runs, those of the highest average precision"
            title = f"{column.name}, protocol {protocol}{some if len(drawn) < len(defined) else ''}"
            yield {"title": title, **chart(f"Precision over recall of pixels, {title}; {told}", spec)}


def _curve(folder: Path) -> Curve | None:
    """The curve of a run's pixels, all categories pooled where it has such a one; None where it has none."""
    read = files.usable(folder / REPLICATES, lambda path: read_replicates(path.parent))
    return None if read is None or not read.curves else read.curves.get("pooled") or next(iter(read.curves.values()))


def _average_precision(result: RunResult) -> float:
    row = result.headline().get("ap")
    return -1.0 if row is None or row.value is None else row.value


def _value(result: RunResult, metric: str) -> str:
    row = result.headline().get(metric)
    return number(row.value if row else None, 3)


def ranks(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Average ranks of the methods of each dataset, and of all datasets together, under each protocol."""
    results = [result for _, result in runs]
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        groups.setdefault((result.protocol.hash, result.dataset.fingerprint), []).append(result)
        groups.setdefault((result.protocol.hash, ""), []).append(result)
    for (_, fingerprint), members in groups.items():
        names = method_names(members)
        found = [r for r in rankings(members, names) if fingerprint or len(r.datasets) > 1]
        if not found:
            continue
        where = ", ".join(found[0].datasets)
        pictures = []
        for one in found:
            better = [f"{a} over {b} (p {p:.3f})" for (a, b), (_, p) in one.wilcoxon.items() if p <= LEVEL]
            pictures.append(
                {
                    "metric": one.metric,
                    **chart(
                        f"Average ranks by {one.metric} over {counted(one.n, 'category', 'categories')} of {where}",
                        critical_difference(one),
                    ),
                    "text": f"{counted(one.n, 'category', 'categories')}, Friedman p {one.friedman:.4f}; "
                    f"Wilcoxon, corrected (Holm): " + ("; ".join(better) or "no pair differs"),
                }
            )
        yield {"title": f"{where}, protocol {members[0].protocol.name}", "pictures": pictures}
