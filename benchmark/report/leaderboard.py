"""The leaderboard: submitted results and published numbers, by data set and protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose
from benchmark.core.resources import COMMUNITY
from benchmark.core.table import Grid
from benchmark.report.papers.fairness import (
    NEARER,
    OTHER_NAME,
    SELECTION,
    data_words,
    dataset_settings,
    preset_hash,
)
from benchmark.report.papers.published import protocols, published
from benchmark.report.papers.published_row import OUR_METRIC, PublishedRow
from benchmark.report.tables import number, outward
from benchmark.results.submission import Submission, read_submission
from benchmark.results.verified import read_verified
from benchmark.scoring.metrics.registry import METRICS

WHOLE = ("mean", "all", "average")
"""Published categories that are all of a data set."""
FIRST = ("image_auroc", "auroc", "ap", "f1_max", "aupro", "image_ap", "image_f1_max", "iou", "f2")
"""Metrics in the order of columns; each that any row has is shown."""
MOST_COLUMNS = 7
"""Up to which other metrics of submissions fill a table up."""
Values = dict[str, tuple[float, float | None, float | None]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: a method under one protocol."""

    method: str
    by: str
    """Paper, or who submitted it."""
    state: str
    values: Values = field(default_factory=dict)
    """Metric to value and interval."""
    digest: str = ""
    """Of a submission; empty: a published row."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """The entries of one data set under one protocol."""

    dataset: str
    protocol: str
    title: str
    entries: tuple[Entry, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Columns in a fixed order, behind the one that ranks: what most published rows have, else the first one.

        No submission takes a column of ``FIRST`` or of papers from the others, nor changes how published rows rank.
        """
        have = {metric for entry in self.entries for metric in entry.values}
        printed = Counter(metric for entry in self.entries if not entry.digest for metric in entry.values)
        order = {name: at for at, name in enumerate(dict.fromkeys((*FIRST, *METRICS)))}
        names = sorted(have, key=lambda name: (order.get(name, len(order)), name))
        kept = [name for name in names if name in FIRST or name in printed]
        filling = [name for name in names if name not in kept][: max(0, MOST_COLUMNS - len(kept))]
        shown = [name for name in names if name in kept or name in filling]
        ranks = max(shown, key=lambda name: printed[name])  # the first of equals
        return (ranks, *(name for name in shown if name != ranks))

    @property
    def ranked(self) -> tuple[Entry, ...]:
        """Entries, the best one first; those without the metric that ranks come last."""
        first = self.metrics[0]
        sign = 1 if first not in METRICS or METRICS[first].higher_is_better else -1
        return tuple(
            sorted(
                self.entries, key=lambda e: (first not in e.values, -sign * e.values.get(first, (0.0,))[0], e.method)
            )
        )


def submissions(folder: Path = COMMUNITY) -> list[Submission]:
    """Read every submission; raises ResultsError naming the file."""
    return [read_submission(path) for path in sorted(folder.glob("*/*.json"))]


def boards(given: Iterable[Submission], verified: Mapping[str, str]) -> list[Board]:
    """Return the boards: of submissions first, then of each published protocol, by data set.

    A published number stands beside submissions where its protocol is a preset by reading of the released code, and
    scores the same images; else it has a board of its own protocol.

    Args:
        given: the submissions.
        verified: digest -> how the values were made again.
    """
    submitted: dict[tuple[str, str, str], list[Submission]] = {}
    for one in given:
        submitted.setdefault((one.data.option, one.protocol.name, one.data.fingerprint), []).append(one)
    found, joined = [], set[tuple[str, str]]()
    for (option, protocol, _), own in submitted.items():
        rows = [row for row in _rows() if _beside(row, own[0])]
        joined |= {(row.dataset, row.protocol) for row in rows}
        averaging = compose([f"protocol={protocol}"])[0]["protocol"]["averaging"]
        entries = [_submitted(one, averaging, verified.get(one.digest)) for one in own]
        title = f"protocol {protocol}, {own[0].data.images:,} images"
        found.append(Board(dataset=option, protocol=protocol, title=title, entries=(*entries, *_published(rows))))
    rest: dict[tuple[str, str], list[PublishedRow]] = {}
    for row in _rows():
        if (row.dataset, row.protocol) not in joined:
            rest.setdefault((row.dataset, row.protocol), []).append(row)
    ours = {theirs: name for name, theirs in OTHER_NAME.items() if theirs}
    for (dataset, protocol), rows in rest.items():
        about = protocols()[protocol]
        near = {"reading": f"; here {about.preset}", "part": f"; nearest here {about.preset}"}.get(about.match, "")
        name, title = ours.get(dataset, dataset), f"{protocol}: {about.title}{near}"
        found.append(Board(dataset=name, protocol=protocol, title=title, entries=tuple(_published(rows))))
    given_on = {option for option, _, _ in submitted}
    return sorted(found, key=lambda board: (board.dataset not in given_on, board.dataset))


def grid(board: Board) -> Grid:
    """Lay a board out as a table, its best value of each metric marked."""
    best = {metric: _best(board, metric) for metric in board.metrics}
    first = [entry.values.get(board.metrics[0], (None,))[0] for entry in board.ranked]
    rows = []
    for entry, value in zip(board.ranked, first, strict=True):
        rank = "–" if value is None else str(first.index(value) + 1)  # equal values share a rank
        cells = [_cell(entry, metric, best[metric]) for metric in board.metrics]
        rows.append((rank, entry.method, entry.by, entry.state, *cells))
    columns = ("", "method", "by", "state", *(_title(metric) for metric in board.metrics))
    return Grid(title=board.title, columns=columns, rows=tuple(rows), left=frozenset({1, 2, 3}))


def leaderboard_text(folder: Path = COMMUNITY) -> str:
    """Return the leaderboard as Markdown: a heading a data set, below it a table a protocol."""
    from benchmark.core.table import markdown

    lines: list[str] = []
    dataset = ""
    for board in boards(submissions(folder), read_verified(folder)):
        if board.dataset != dataset:
            dataset = board.dataset
            lines += [f"## {dataset}", ""]
        lines.append(markdown(grid(board)).replace("## ", "### ", 1))
    return "\n".join(lines).rstrip()


def _rows() -> Iterator[PublishedRow]:
    """Yield published levels over all of a data set that nothing speaks against."""
    for row in published():
        if row.category in WHOLE and row.usable and row.fraction is not None and row.dataset != "-":
            yield row


def _published(rows: Iterable[PublishedRow]) -> Iterator[Entry]:
    found: dict[tuple[str, str], Values] = {}
    for row in rows:
        metric = OUR_METRIC.get(row.metric, row.metric)
        near = [own for (protocol, of), own in NEARER.items() if row.protocol.startswith(protocol) and of == metric]
        values = found.setdefault((row.method, row.paper), {})
        values.setdefault((near or [metric])[0], (row.fraction or 0.0, None, None))
    for (method, paper), values in found.items():
        yield Entry(method=method, by=paper, state="published", values=values)


def _submitted(one: Submission, averaging: str, how: str | None) -> Entry:
    values: Values = {name: (row.value, row.low, row.high) for name, row in one.headline(averaging).items()}
    state = f"submitted, {'private data' if one.data.private else how or 'not made again'}"
    return Entry(method=one.method, by=one.who, state=state, values=values, digest=one.digest)


def _beside(row: PublishedRow, one: Submission) -> bool:
    """Whether a published number was measured as a submission was, on the same images."""
    about = protocols()[row.protocol]
    name = OTHER_NAME.get(one.data.card or "", one.data.card or "")
    if row.dataset != name or about.match != "reading" or about.preset is None:
        return False
    if preset_hash(about.preset) != one.protocol.hash:
        return False
    own = dataset_settings(f"dataset={one.choices['dataset']}") | {
        key.removeprefix("dataset."): value for key, value in one.settings.items() if key.startswith("dataset.")
    }
    wanted = dataset_settings(*data_words(row, one.choices["dataset"]))
    return all(_plain(own[key]) == _plain(wanted[key]) for key in SELECTION if key in own and key in wanted)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | tuple) else value


def _best(board: Board, metric: str) -> float | None:
    """Return the best value of a metric; None where only one entry has it."""
    values = [entry.values[metric][0] for entry in board.entries if metric in entry.values]
    if len(values) < 2:
        return None
    return max(values) if metric not in METRICS or METRICS[metric].higher_is_better else min(values)


def _cell(entry: Entry, metric: str, best: float | None) -> str:
    if metric not in entry.values:
        return "–"
    value, low, high = entry.values[metric]
    ends = outward(low, high)
    shown = number(value, 3) + (" ★" if value == best else "")
    return shown if ends is None else f"{shown} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _title(metric: str) -> str:
    return METRICS[metric].title if metric in METRICS else f"{metric} (as published)"
