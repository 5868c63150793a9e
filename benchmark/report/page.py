"""``make report``: every run, sweep and image in one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.core.errors import ResultsError
from benchmark.core.resources import TEMPLATES
from benchmark.report import charts, decision_table
from benchmark.report.charts import Spec, critical_difference, library, precision_recall, short_labels
from benchmark.report.decision_table import figures, judged
from benchmark.report.decision_table import grid as decision_grid
from benchmark.report.kept import kept
from benchmark.report.page_data import boards, run_page, settings_apart
from benchmark.report.page_gallery import Galleries, collect
from benchmark.report.ranks import LEVEL, method_names, rankings
from benchmark.results import files
from benchmark.results.replicates import REPLICATES, read_replicates
from benchmark.results.schema import RunResult
from benchmark.scoring import decision
from benchmark.scoring.decision import Costs
from benchmark.scoring.metrics import intervals
from benchmark.scoring.metrics.registry import title

MEGABYTES = 48
"""Most megabytes of pictures in a report, unless told."""
MOST_POINTS = 200
"""Rows of a sweep's table that are shown."""

Run = tuple[Path, RunResult]


def build(
    runs: Sequence[Run], sweeps: Sequence[Path], *, papers: Sequence[Path] = (), megabytes: float = MEGABYTES
) -> str:
    """Return the report as HTML.

    Args:
        runs: folder and result of every run.
        sweeps: folders of sweeps.
        papers: CSV files that ``make reproduce`` wrote.
        megabytes: most megabytes of pictures.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    inner = _only_points(sweeps)
    chosen = [(folder, result) for folder, result in runs if result.id not in inner and _can_be_shown(folder, result)]
    ordered = sorted(chosen, key=lambda r: (r[1].dataset.name, r[1].choices["pipeline"], r[1].protocol.name, r[1].id))
    results = [result for _, result in ordered]
    galleries = collect(ordered, limit=int(megabytes * 1e6))
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    drawer = library()
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["json"] = json_for_page
    return environment.get_template("report.html").render(
        css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        chart_library=drawer,
        script_hashes=" ".join(f"'{_hash(text)}'" for text in (script, drawer)),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=[_run(folder, result) for folder, result in ordered],
        datasets=boards(results),
        protocols=sorted({r.protocol.name for r in results}),
        curves=list(_curves(ordered)),
        ranks=list(_ranks(ordered)),
        papers=[t for path in papers if (t := files.usable(path, _paper_table)) is not None],
        sweeps=[s for folder in sweeps if (s := files.usable(folder, _sweep)) is not None],
        galleries=[{"title": p.title} for p in galleries.parts],
        thumbnails=_size_text(galleries),
        blobs=list(_blobs(galleries)),
    )


def _hash(script: str) -> str:
    """The hash by which the page's policy lets a script run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def json_for_page(value: Any) -> str:
    """Write JSON that is safe inside a script element: no ``<``, so that no text can end it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _blobs(galleries: Galleries) -> Iterator[tuple[str, str]]:
    for at, part in enumerate(galleries.parts):
        yield f"images-{at}", json_for_page(dict(part.data))
    for name, pool in galleries.pools.items():
        yield name, json_for_page(dict(pool))


def _size_text(galleries: Galleries) -> str:
    size = f"{galleries.size / 1e6:.1f} MB of thumbnails"
    if galleries.shown == galleries.total:
        return f"All {galleries.total} images of the runs, {size}."
    return (
        f"{galleries.shown} of {galleries.total} images, {size}: as many as the limit allows, those that went "
        "most wrong and most right first."
    )


def _can_be_shown(folder: Path, result: RunResult) -> bool:
    """Whether a result that can be read has what a page needs; one that has not is named."""
    return (
        files.usable(folder / files.RESULT, lambda _: bool(run_page(result, {}) and settings_apart([result]))) is True
    )


def _totals(path: Path) -> dict[str, float]:
    """Sum what a pipeline counted for each image: its tokens and its cost."""
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    counted = [
        name for name in pq.read_schema(path).names if name.startswith(("cost", "tokens")) or name.endswith("_tokens")
    ]
    table = pq.read_table(path, columns=counted).to_pydict()
    return {name: float(sum(v for v in values if isinstance(v, int | float))) for name, values in table.items()}


def _run(folder: Path, result: RunResult) -> dict[str, Any]:
    """Everything of one run, without what is damaged."""
    return {
        **run_page(result, files.usable(folder / files.ROWS, _totals) or {}),
        "decisions": files.usable(folder / REPLICATES, lambda _: _kept_decisions(folder, result)),
        "parts": files.usable(folder / files.BREAKDOWN, lambda _: list(_parts(folder))) or [],
    }


def _kept_decisions(folder: Path, result: RunResult) -> dict[str, Any] | None:
    """Make the decisions of a run, or take those that an earlier report made: they take most of its time."""
    rows = folder / files.ROWS
    if not rows.exists():
        return None
    seed = str(result.config.get("run", {}).get("seed", 0))
    made_by = (decision_table, charts, decision, intervals, sys.modules[__name__])
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
        "charts": [_chart(alt, spec) for alt, spec in figures(found)],
    }  # fmt: skip


def _chart(alt: str, spec: Spec) -> dict[str, Any]:
    """What the template draws a chart from."""
    return {"alt": alt, "height": int(spec["height"]) + 60, "spec": json_for_page(spec)}


def _parts(folder: Path) -> Iterator[dict[str, Any]]:
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
            shown = ["" if m not in values else _cell_text(values[m]["value"]) for m in metrics]
            cells.append([by.replace("_", " "), part, f"{sizes['n_defective']} of {sizes['n']}", *shown])
        columns = ["by", "part", "defective", *(title(m) for m in metrics)]
        yield {"title": f"By defect type, size and image: {category}", "columns": columns, "rows": cells}


def _curves(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """One figure for each dataset and protocol."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for folder, result in runs:
        if (folder / REPLICATES).exists() and not result.meaningless:
            groups.setdefault((result.dataset.name, result.protocol.name), []).append((folder, result))
    for (dataset, protocol), members in groups.items():
        read = [(r, files.usable(f / REPLICATES, lambda path: read_replicates(path.parent))) for f, r in members]
        pooled = [(r.choices["pipeline"], details.curves) for r, details in read if details is not None]
        drawn = [(name, c.get("pooled") or next(iter(c.values()))) for name, c in pooled if c]
        if not drawn:
            continue
        labels = short_labels([name for name, _ in drawn])
        spec = precision_recall(dict(zip(labels, (c for _, c in drawn), strict=True)))
        alt = f"Precision over recall of the pixels of {dataset} under {protocol}: {', '.join(labels)}"
        yield {"title": f"{dataset}, protocol {protocol}", **_chart(alt, spec)}


def _ranks(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
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
                    **_chart(
                        f"Average ranks by {one.metric} over {one.n} categories of {where}", critical_difference(one)
                    ),
                    "text": f"{one.n} categories, Friedman p {one.friedman:.4f}; Wilcoxon, corrected (Holm): "
                    + ("; ".join(better) or "no pair differs"),
                }
            )
        yield {"title": f"{where}, protocol {members[0].protocol.name}", "pictures": pictures}


def _paper_table(path: Path) -> dict[str, Any]:
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
        marks += [f"{line['images']} images"] if " of " in line["images"] else []
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


def _sweep(folder: Path) -> dict[str, Any] | None:
    """Read one sweep's table and plots; None where it has none (a table of a paper has no swept key)."""
    import pandas as pd

    table = folder / "points.parquet"
    if not table.exists():
        return None
    points: Any = pd.read_parquet(table)
    shown = [c for c in points if not str(c).endswith(("_low", "_high")) and c not in ("run", "best")]
    best = points[points["best"].astype(bool)]
    words = json.loads((folder / "command.json").read_text(encoding="utf-8"))
    return {
        "title": " ".join(w for w in words if not w.startswith(("run.", "tracking")))[:200],
        "n": len(points),
        "failed": int((points["status"] == "failed").sum()),
        "best": ", ".join(
            f"{c} {_cell_text(best.iloc[0][c])}" for c in shown if c not in ("number", "status", "message")
        )
        if len(best)
        else "",
        "columns": [str(c) for c in shown],
        "rows": [[_cell_text(row[c]) for c in shown] for _, row in points.head(MOST_POINTS).iterrows()],
        "plots": [
            {"data": base64.b64encode(p.read_bytes()).decode(), "alt": p.stem.replace("_", " ")}
            for p in sorted(folder.glob("*.png"))
        ],
    }


def _only_points(sweeps: Sequence[Path]) -> set[str]:
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


def _cell_text(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def find_runs(results_root: Path) -> list[Run]:
    """Return every run below ``runs/`` and ``reference/`` that this version can read; others are named on stderr."""
    found: dict[str, Run] = {}
    # a run made here stands in place of the committed one of the same id, as it has pictures
    places = [p for place in ("reference", "runs") for p in sorted(results_root.glob(f"{place}/*/{files.RESULT}"))]
    for path in places:
        try:
            result = files.read_result(path.parent)
        except ResultsError as error:
            print(f"left out: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        found[result.id] = (path.parent, result)
    if not found:
        raise ResultsError(f"no runs below {results_root}; run the benchmark first (make bench)")
    return list(found.values())


def page_of(results_root: Path, *, megabytes: float) -> tuple[int, int, str]:
    """Return how many runs below ``results_root`` the page shows, how many are points of its sweeps, and its HTML."""
    runs = find_runs(results_root)
    sweeps = sorted(p for p in results_root.glob("sweeps/*") if p.is_dir())
    page = build(runs, sweeps, papers=sorted(results_root.glob("papers/*.csv")), megabytes=megabytes)
    inner = _only_points(sweeps)
    points = sum(result.id in inner for _, result in runs)
    return len(runs) - points, points, page
