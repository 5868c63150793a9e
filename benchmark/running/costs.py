"""What a paper says its method costs, frames per second and parameters, beside what ``latency`` measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from benchmark.config.compose import compose
from benchmark.config.schema import build
from benchmark.core.table import Grid
from benchmark.report.papers.paper import CostTable, Method, Paper
from benchmark.report.papers.published import find
from benchmark.report.papers.published_row import PublishedRow
from benchmark.results.schema import plain
from benchmark.running.latency import Latency


def measured(folder: Path) -> Iterator[Latency]:
    """Yield the measurements that ``latency`` wrote below a folder, by name; other files are passed over."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield Latency.model_validate_json(path.read_bytes())
        except ValidationError:
            continue


def costs_grid(paper: Paper, table: CostTable, folder: Path) -> Grid:
    """Lay the costs of a paper's methods out, one row a method and measurement.

    Only measurements with the very settings of the method's preset count: tiny networks or another backbone have
    other costs. Random weights of full size (``networks=random``) cost what the real ones do, and are said. Images per
    second are those of single images, as papers measure them.

    Args:
        paper: whose published numbers are shown.
        table: its methods.
        folder: where ``latency`` writes, ``<results root>/latency``.
    """
    found, rows, notes = list(measured(folder)), list[tuple[str, ...]](), list[str]()
    for method in table.methods:
        printed = [_published(paper, table, method, metric) for metric in ("fps", "parameters")]
        notes += [row.note for row in printed if row is not None and row.note]
        own = [one for one in found if _of_method(one, method)]
        if not own:
            rows.append(
                (method.name, "–", _printed(printed[0]), "–", _printed(printed[1]), _hint(table, method, found))
            )
        for one in own:
            millions = "–" if one.parameters is None else f"{one.parameters / 1e6:.1f}"
            machine = f"{one.hardware.get('gpu') or one.hardware.get('cpu') or one.device}, {one.dataset}"
            machine += ", random weights" if _random(one) else ""
            machine += "" if one.load is None else f", load {one.load:.1f}"
            speed = f"{one.single_per_second:.2f}"
            rows.append((method.name, speed, _printed(printed[0]), millions, _printed(printed[1]), machine))
    return Grid(
        title=f"{paper.title}, {table.title}",
        columns=("", "images / s, one by one", "paper", "parameters, millions", "paper", "measured on"),
        rows=tuple(rows),
        notes=(
            *dict.fromkeys(notes),
            "speeds of different machines cannot be compared; parameters are those of the networks in memory",
        ),
        left=frozenset({0, 5}),
    )


def _published(paper: Paper, table: CostTable, method: Method, metric: str) -> PublishedRow | None:
    if method.published is None:
        return None
    rows = find(paper=paper.key, method=method.published, metric=metric)
    return next((row for row in rows if row.table in table.published), None)


def _printed(row: PublishedRow | None) -> str:
    return "–" if row is None else f"{row.printed} {row.unit.replace('frames_per_second', 'frames / s')}{row.remark}"


def _of_method(one: Latency, method: Method) -> bool:
    if one.pipeline != method.pipeline:
        return False
    words = [f"dataset={one.dataset}", f"pipeline={method.pipeline}", *method.overrides]
    config = build(*compose([*words, *(["networks=random"] if _random(one) else [])]))
    return bool(one.settings == plain(config.pipeline.model_dump(warnings=False)))


def _random(one: Latency) -> bool:
    return bool(one.settings.get("allow_random_weights"))


def _hint(table: CostTable, method: Method, found: Sequence[Latency]) -> str:
    if method.pipeline is None:
        return method.absent or "not in this package"
    given = f' ARGS="{" ".join(method.overrides)}"' if method.overrides else ""
    others = any(one.pipeline == method.pipeline for one in found)
    say = "measured with other settings; " if others else ""
    return f"{say}make latency DATASET={table.dataset} PIPELINE={method.pipeline}{given}"
