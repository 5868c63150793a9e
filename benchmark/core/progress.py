"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere.

Nothing is shown for work that ends within two seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from benchmark.core.terminal import printable, terminal

Item = TypeVar("Item")
QUIET_SECONDS = 2.0
PLAIN_EVERY_SECONDS = 10.0


class Progress:
    """Counts items of one piece of work and shows how it goes.

    Args:
        description: what is being done, in a few words.
        total: number of items, or None when unknown.
    """

    def __init__(self, description: str, total: int | None) -> None:
        self.description, self.total = description, total
        self.done = 0
        self._start = time.monotonic()
        self._shown = self._start
        self._live = sys.stderr.isatty()  # asked once: on some systems the call takes milliseconds
        self._bar: Any = None
        self._task: Any = None

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count ``count`` more items; ``note`` is shown behind the line (what was reused, say)."""
        self.done += count
        now = time.monotonic()
        if now - self._start < QUIET_SECONDS:
            return
        if self._live:
            self._show_bar(note)
        elif now - self._shown >= PLAIN_EVERY_SECONDS:
            self._shown = now
            print(self._line(now, note), file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the bar, or print a closing line if lines were printed."""
        if self._bar is not None:
            self._bar.stop()
        elif self._shown > self._start:
            print(self._line(time.monotonic(), "done"), file=sys.stderr, flush=True)

    def _line(self, now: float, note: str) -> str:
        elapsed = max(now - self._start, 1e-9)
        rate = self.done / elapsed
        of = f"/{self.total}" if self.total else ""
        left = (
            f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate and self.done < self.total else ""
        )
        return f"{self.description}: {self.done}{of}, {rate:.1f}/s{left}{', ' + note if note else ''}"

    def _show_bar(self, note: str) -> None:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]}"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}"),
                console=Console(file=terminal(sys.stderr)),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(printable(self.description), total=self.total, rate="", note="")
        rate = self.done / max(time.monotonic() - self._start, 1e-9)
        self._bar.update(self._task, completed=self.done, rate=f"{rate:.1f}/s", note=note)


class StageProgress:
    """Shows the stage at work; what ``Context.on_progress`` calls."""

    def __init__(self) -> None:
        self._stage, self._progress = "", Progress("", None)

    def __call__(self, stage: str, done: int, total: int, reused: int) -> None:
        """Say that ``done`` of ``total`` images of a stage are there, ``reused`` of them from the store."""
        if stage != self._stage or done < self._progress.done:
            self._stage, self._progress = stage, Progress(stage, total)
        self._progress.advance(done - self._progress.done, note=f"{reused} reused" if reused else "")
        if done == total:
            self._progress.close()


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` while showing progress."""
    progress = Progress(description, total if total is not None else _length(items))
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()


def _length(items: Iterable[Any]) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None
