"""What a pull request with submissions is told: each value beside published and submitted ones of its protocol."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.core.table import Grid, markdown
from benchmark.core.terminal import printable
from benchmark.report.leaderboard import Board, Entry
from benchmark.report.tables import number, outward
from benchmark.results.submission import Submission
from benchmark.scoring.metrics.registry import METRICS, title

MOST_LETTERS = 60_000
"""Of a comment; GitHub takes 65,536."""


def comment(parts: Sequence[str]) -> str:
    """Join what is said of each file to one comment, cut where GitHub would refuse it."""
    text = "\n".join(["<!-- submissions -->", *parts])
    return (
        text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS].rpartition("\n")[0] + "\n\nand more, cut off here\n"
    )


def of_file(name: str, checks: Sequence[tuple[str, str, str]], comparison: Grid | None) -> str:
    """Return what is said of one file, as Markdown in which no text of the file can be markup.

    Args:
        name: of the file.
        checks: state, subject and words of each check.
        comparison: beside other results; None: the file cannot be read.
    """
    told = Grid(
        title=_quiet(name),
        columns=("state", "what", "told"),
        rows=tuple(tuple(map(_quiet, row)) for row in checks),
        left=frozenset({0, 1, 2}),
    )
    return markdown(told) + ("" if comparison is None else "\n" + markdown(comparison).replace("## ", "### ", 1))


def differences(one: Submission, board: Board) -> Grid:
    """Lay out each value of a submission beside the best published and the best other submitted one of its board."""
    mine = next(entry for entry in board.entries if entry.digest == one.digest)
    others = [entry for entry in board.entries if entry is not mine]
    rows = []
    for metric, (value, low, high) in mine.values.items():
        ends = outward(low, high)
        span = "" if ends is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"
        published = _best([e for e in others if not e.digest], metric)
        submitted = _best([e for e in others if e.digest], metric)
        cells = [cell for best in (published, submitted) for cell in _beside(best, metric, value)]
        rows.append((title(metric), number(value, 3), span, *cells))
    columns = ("metric", "value", "95 % interval", "best published", "difference", "best submitted", "difference")
    heading = f"{one.method} by {one.who} on {board.dataset}, {board.title}"
    return Grid(title=_quiet(heading), columns=columns, rows=tuple(rows), left=frozenset({0, 2, 3, 5}))


def _best(entries: Sequence[Entry], metric: str) -> Entry | None:
    have = [entry for entry in entries if metric in entry.values]
    sign = 1 if metric not in METRICS or METRICS[metric].higher_is_better else -1
    return max(have, key=lambda entry: sign * entry.values[metric][0], default=None)


def _beside(best: Entry | None, metric: str, value: float) -> tuple[str, str]:
    if best is None:
        return "–", "–"
    theirs = best.values[metric][0]
    return f"{number(theirs, 3)} {_quiet(best.method)} ({_quiet(best.by)})", f"{value - theirs:+.3f}"


def _quiet(text: str) -> str:
    """Return a text that names nobody, closes no code and links to nothing in a comment."""
    shown = printable(text)
    for mark, instead in (("\\", "\\\\"), ("`", "'"), ("@", "@\u200b"), ("#", "#\u200b"), ("://", ":\u200b//")):
        shown = shown.replace(mark, instead)
    for mark in "*_[]!~":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
