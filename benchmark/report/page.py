"""``make report``: every run, sweep and image in one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.core.errors import ResultsError
from benchmark.core.resources import TEMPLATES
from benchmark.core.text import counted
from benchmark.report.charts import json_for_page, library
from benchmark.report.page_board import board, columns
from benchmark.report.page_data import run_page
from benchmark.report.page_findings import findings
from benchmark.report.page_gallery import Galleries, collect, ramp
from benchmark.report.page_sections import Run, curves, kept_decisions, parts, ranks
from benchmark.report.page_tables import only_points, paper_table, sweep, totals
from benchmark.report.run_names import settings_apart
from benchmark.results import files
from benchmark.results.replicates import REPLICATES
from benchmark.results.schema import RunResult

MEGABYTES = 48
"""Most megabytes of pictures in a report, unless told."""
SCRIPTS = ("base", "board", "runs", "scale", "images", "viewer", "address", "start")
"""Parts of the page's script, in their order."""
SHOWN_FINDINGS = 3


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

    inner = only_points(sweeps)
    chosen = [(folder, result) for folder, result in runs if result.id not in inner and _can_be_shown(folder, result)]
    references = frozenset(result.id for folder, result in chosen if folder.parent.name == "reference")
    ordered = sorted(chosen, key=lambda run: (run[1].id in references, *_place(run[1])))
    results = [result for _, result in ordered]
    apart = settings_apart(results, methods=True)
    galleries = collect(ordered, limit=int(megabytes * 1e6))
    script = "".join((TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    data = columns(results, references=references)
    table = board(results, references=references)
    drawer = library()
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"json": json_for_page, "counted": counted}
    return environment.get_template("report.html").render(
        css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        chart_library=drawer,
        script_hashes=" ".join(f"'{_hash(text)}'" for text in (script, drawer)),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=[
            {**_run(folder, result), "differs": apart[result.id], "reference": result.id in references}
            for folder, result in ordered
        ],
        came_along=len(references),
        data=len({column.runs[0].data_label for column in data}),
        findings=findings(data, {result.id: folder for folder, result in ordered}),
        shown_findings=SHOWN_FINDINGS,
        board=table,
        curves=list(curves(ordered)),
        ranks=list(ranks(ordered)),
        papers=[t for path in papers if (t := files.usable(path, paper_table)) is not None],
        sweeps=[s for folder in sweeps if (s := files.usable(folder, sweep)) is not None],
        galleries=[{"title": p.title, "pool": p.data["pool"]} for p in galleries.parts],
        mapped=next((at for at, part in enumerate(galleries.parts) if part.data["scale"]), 0),
        thumbnails=_size_text(galleries),
        blobs=list(_blobs(galleries)),
        ramp=json_for_page(ramp()),
    )


def _place(result: RunResult) -> tuple[str, ...]:
    """By what runs are set in order."""
    return result.dataset.name, result.choices["pipeline"], result.protocol.name, result.id


def _hash(script: str) -> str:
    """The hash by which the page's policy lets a script run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _blobs(galleries: Galleries) -> Iterator[tuple[str, str]]:
    for at, part in enumerate(galleries.parts):
        yield f"images-{at}", json_for_page(dict(part.data))
    for name, pool in galleries.pools.items():
        yield name, json_for_page(dict(pool))


def _size_text(galleries: Galleries) -> str:
    size = f"{galleries.size / 1e6:.1f} MB of thumbnails"
    if galleries.shown == galleries.total:
        return f"All {counted(galleries.total, 'image')} of the runs, {size}."
    return (
        f"{galleries.shown} of {counted(galleries.total, 'image')}, {size}: as many as the limit allows, those that "
        "went most wrong and most right first."
    )


def _can_be_shown(folder: Path, result: RunResult) -> bool:
    """Whether a result that can be read has what a page needs; one that has not is named."""
    return files.usable(folder / files.RESULT, lambda _: bool(run_page(result, {}) and board([result]))) is True


def _run(folder: Path, result: RunResult) -> dict[str, Any]:
    """Everything of one run, without what is damaged."""
    return {
        **run_page(result, files.usable(folder / files.ROWS, totals) or {}),
        "decisions": files.usable(folder / REPLICATES, lambda _: kept_decisions(folder, result)),
        "parts": files.usable(folder / files.BREAKDOWN, lambda _: list(parts(folder))) or [],
    }


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
    inner = only_points(sweeps)
    points = sum(result.id in inner for _, result in runs)
    return len(runs) - points, points, page
