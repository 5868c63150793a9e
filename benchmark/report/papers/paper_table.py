"""A paper's table with our numbers in it, in the paper's layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.table import Grid, csv_text, latex, markdown, show
from benchmark.core.text import counted
from benchmark.report.papers.fairness import images, other_data, unfair, unfair_protocol
from benchmark.results.files import write_atomically
from benchmark.scoring.metrics.registry import METRICS

if TYPE_CHECKING:
    from benchmark.report.papers.cell_plan import Planned
    from benchmark.report.papers.paper import Paper, PaperTable, TableMetric
    from benchmark.report.papers.published_row import PublishedRow


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a table: what the paper printed, what we measured, and how they go together."""

    row: str
    method: str
    metric: str
    published: PublishedRow | None
    ours: float | None
    low: float | None = None
    high: float | None = None
    run: str = ""
    images: str = ""
    """``329`` or ``10 of 329``."""
    meaningless: bool = False
    other_data: bool = False
    """Whether our images, labels or categories are not the published ones."""
    reason: str = ""
    """Why there is no number of ours."""
    fix: str = ""
    remarks: tuple[str, ...] = ()
    """Why the two numbers do not measure the same thing, as far as they do not."""
    protocol: str = ""
    """Whether our protocol is the published one: yes, in part, no; empty where there is nothing to compare."""

    @property
    def difference(self) -> float | None:
        """Ours less published; None where one is missing or cannot be relied on, or ours is of few or other images."""
        row = self.published
        if row is None or row.fraction is None or not row.usable:
            return None
        if self.meaningless or self.other_data or " of " in self.images:
            return None
        return None if self.ours is None else self.ours - row.fraction


def numbers(table: PaperTable, planned: Sequence[Planned]) -> list[Number]:
    """Return every number of a table, row by row, method by method."""
    found = []
    for one in planned:
        for metric, row in zip(table.metrics, one.cell.published, strict=True):
            if one.cell.row.parts:
                found.append(_average(table, one, planned, metric, row))
            else:
                found.append(_number(one, metric, row))
    return found


def _number(one: Planned, metric: TableMetric, row: PublishedRow | None) -> Number:
    number = partial(Number, row=one.cell.row.name, method=one.cell.method.name, metric=metric.name, published=row)
    result = one.result
    if result is None:
        missing = one.missing
        reason, fix = (missing.phrase, missing.fix or "") if missing else ("not run yet", one.cell.command)
        return number(ours=None, reason=reason, fix=fix)
    own = result.headline().get(metric.ours)
    reason = "not reported by the run" if own is None else (own.reason or "") if own.value is None else ""
    return number(
        ours=own.value if own else None,
        low=own.low if own else None,
        high=own.high if own else None,
        run=result.id,
        images=images(result),
        meaningless=result.meaningless,
        other_data=row is not None and any(other_data(result, row)),
        reason=reason,
        remarks=tuple(unfair(result, row)) if row else (),
        protocol="" if row is None else _agreement(list(unfair_protocol(result, row))),
    )


def _agreement(problems: Sequence[str]) -> str:
    if not problems:
        return "yes"
    return "in part" if all(p.startswith("protocol agrees in part") for p in problems) else "no"


def _average(
    table: PaperTable, one: Planned, planned: Sequence[Planned], metric: TableMetric, row: PublishedRow | None
) -> Number:
    """Take the unweighted mean over the categories of other rows; without an interval, as it rests on several runs."""
    number = partial(Number, row=one.cell.row.name, method=one.cell.method.name, metric=metric.name, published=row)
    if one.missing is not None:
        return number(ours=None, reason=one.missing.phrase)
    values: list[float] = []
    meaningless = False
    for part in one.cell.row.parts:
        other = next(p for p in planned if p.cell.row.name == part.row and p.cell.method.name == one.cell.method.name)
        if other.result is None:
            return number(ours=None, reason=f"needs {part.row}")
        by_category = {m.category: m.value for m in other.result.metrics if m.metric == metric.ours}
        wanted = part.categories or other.result.dataset.categories
        missing = [c for c in wanted if by_category.get(c) is None]
        if missing:
            return number(ours=None, reason=f"needs {part.row} of {missing[0]}")
        values += [v for c in wanted if (v := by_category[c]) is not None]
        meaningless |= other.result.meaningless
    mean = sum(values) / len(values)
    return number(ours=mean, images="", meaningless=meaningless, protocol="as its parts")


def layout(paper: Paper, table: PaperTable, planned: Sequence[Planned]) -> Grid:
    """Lay the numbers out as the paper does: ours with its interval, the paper's, the difference, the protocol."""
    every = numbers(table, planned)
    reasons: dict[str, int] = {}
    texts = {(n.row, n.method, n.metric): _text(n, reasons) for n in every}
    methods, several = [m.name for m in table.methods], len(table.metrics) > 1
    if table.methods_on == "columns":
        heads = ("", *(["metric"] if several else []), *methods)
        rows = [
            (row.name, *([m.name] if several else []), *(texts[row.name, method, m.name] for method in methods))
            for row in table.rows
            for m in table.metrics
        ]
        left = frozenset({0, 1}) if several else frozenset({0})
    else:
        pairs = [(row.name, m.name) for row in table.rows for m in table.metrics]
        heads = ("", *(f"{row}, {metric}" if several else row for row, metric in pairs))
        rows = [(method, *(texts[row, method, metric] for row, metric in pairs)) for method in methods]
        left = frozenset({0})
    notes = [f"({number}) {reason}" for reason, number in reasons.items()]
    notes += list(_legend(every, [m.ours for m in table.metrics])) + [row.note for row in table.rows if row.note]
    notes = list(dict.fromkeys(notes))
    return Grid(title=f"{paper.title}, {table.title}", columns=heads, rows=tuple(rows), notes=tuple(notes), left=left)


def _legend(every: Sequence[Number], used: Sequence[str]) -> Iterator[str]:
    compared = [n for n in every if n.ours is not None and n.published is not None]
    if compared:
        yield "ours with its 95 % interval over images, the paper's value, ours less the paper's"
    if any(METRICS[ours].oracle for ours in used if ours in METRICS):
        yield "oracle: the threshold of F1-max and max-IoU is the best one for the images that are scored"
    yield from dict.fromkeys(r for n in compared for r in n.remarks)


def _text(n: Number, reasons: dict[str, int]) -> str:
    scale, digits = (100.0, 2) if n.published is not None and n.published.unit == "percent" else (1.0, 3)
    lines = []
    if n.ours is None:
        explanation = n.reason + (f"  →  {n.fix}" if n.fix else "")
        lines.append(f"not run ({reasons.setdefault(explanation, len(reasons) + 1)})")
    else:
        span = "" if n.low is None or n.high is None else f" [{n.low * scale:.{digits}f}, {n.high * scale:.{digits}f}]"
        lines.append(f"{n.ours * scale:.{digits}f}{span}")
        lines += ["random weights"] if n.meaningless else []
        lines += [f"{counted(n.images, 'image')}"] if " of " in n.images else []
    if n.published is not None:
        lines.append(f"paper {n.published.printed}{n.published.remark}")
    if n.difference is not None:
        lines.append(f"{n.difference * scale:+.{digits}f}, protocol {n.protocol}")
    return "\n".join(lines)


def long_form(paper: Paper, table: PaperTable, planned: Sequence[Planned]) -> Grid:
    """Return one line for every number, as fractions, for other programs."""
    columns = (
        "paper", "table", "row", "method", "metric", "ours", "low", "high", "images", "published", "printed", "unit",
        "flag", "difference", "protocol", "random_weights", "reason", "mend", "run",
    )  # fmt: skip
    rows = []
    for n in numbers(table, planned):
        p = n.published
        theirs = (_plain(p.fraction), p.printed, p.unit, p.flag) if p else ("", "", "", "")
        ours = (_plain(n.ours), _plain(n.low), _plain(n.high), n.images)
        rest = (_plain(n.difference), n.protocol, str(n.meaningless).lower(), n.reason, n.fix, n.run)
        rows.append((paper.key, table.title, n.row, n.method, n.metric, *ours, *theirs, *rest))
    return Grid(title=table.title, columns=columns, rows=tuple(rows))


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def write_table(folder: Path, name: str, paper: Paper, table: PaperTable, planned: Sequence[Planned]) -> str:
    """Write the table as ``.md``, ``.tex`` and, one line a number, ``.csv``; returns where, for people."""
    grid = layout(paper, table, planned)
    texts = {".md": markdown(grid), ".tex": latex(grid), ".csv": csv_text(long_form(paper, table, planned))}
    for suffix, text in texts.items():
        write_atomically(folder / f"{name}{suffix}", text.encode())
    return f"{folder / name}{{{','.join(texts)}}}"


def show_table(paper: Paper, table: PaperTable, planned: Sequence[Planned]) -> None:
    """Print the table."""
    show(layout(paper, table, planned))


def show_plan(paper: Paper, table: PaperTable, planned: Sequence[Planned]) -> None:
    """Print every cell, what is missing, and what it is expected to cost."""
    rows = [(one.cell.row.name, one.cell.method.name, *_plan_text(one)) for one in planned]
    ready = [p for p in planned if p.missing is None and p.cell.overrides]
    known = [p.seconds for p in ready if p.seconds is not None]
    total = f"{sum(known) / 60:.1f} minutes for {len(known)} of them" if known else "no earlier run to estimate from"
    images = sum(p.n_images or 0 for p in ready)
    notes = (f"{len(ready)} of {len(planned)} cells can be run: {images} predictions; {total}",)
    columns = ("row", "method", "state", "images", "expected", "command")
    left = frozenset({0, 1, 2, 5})
    show(Grid(title=f"{paper.title}, {table.title}: plan", columns=columns, rows=tuple(rows), notes=notes, left=left))


def _plan_text(one: Planned) -> tuple[str, str, str, str]:
    if one.missing is not None:
        return one.missing.phrase, "", "", one.missing.fix or ""
    if one.cell.row.parts:
        return "mean over other rows", "", "", ""
    cost = "not known" if one.seconds is None else f"{one.seconds / 60:.1f} min"
    return "ready", str(one.n_images), cost, one.cell.command
