"""Progress on stderr: a bar with what is at work, rate and time left on a terminal, plain lines elsewhere.

Nothing is shown for work that ends within two seconds, and nothing longer is silent: the display has a thread of its
own, so that one slow item shows life too.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from benchmark.core.terminal import literal, terminal

Item = TypeVar("Item")
QUIET_SECONDS = 2.0
PLAIN_EVERY_SECONDS = 10.0
LIVE_EVERY_SECONDS = 0.2


class Progress:
    """Counts items of one piece of work and shows how it goes, from the first sign of it to the end of the block.

    Args:
        description: what is being done, in a few words.
        total: number of items, or None when unknown.
    """

    def __init__(self, description: str, total: int | None) -> None:
        self.description, self.total = description, total
        self.done = 0
        self.note = ""
        self._start = 0.0
        self._ended = threading.Event()
        self._display: threading.Thread | None = None

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more items."""
        self.done += count
        self._show()

    def tell(self, note: str) -> None:
        """Show what is at work behind the line: a stage, its images, what was reused."""
        self.note = note
        self._show()

    def __enter__(self) -> Self:
        """Begin; nothing is shown before the first item or note."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """End the display."""
        self._ended.set()
        if self._display is not None:
            self._display.join()

    def _show(self) -> None:
        if self._display is None:
            self._start = time.monotonic()
            self._display = threading.Thread(target=self._bar if sys.stderr.isatty() else self._lines, daemon=True)
            self._display.start()

    def _lines(self) -> None:
        printed = False
        while not self._ended.wait(PLAIN_EVERY_SECONDS):
            printed = True
            print(self._line(), file=sys.stderr, flush=True)
        if printed:
            ended = "done" if not self.total or self.done >= self.total else "done when it stopped,"
            text = f"{self._count()} {ended} in {duration(self._seconds())}"
            print(f"{self.description}: {text}", file=sys.stderr, flush=True)

    def _line(self) -> str:
        parts = [self._count(), self._rate(), self.note, self._left()]
        return f"{self.description}: {', '.join(part for part in parts if part)}"

    def _seconds(self) -> float:
        return max(time.monotonic() - self._start, 1e-9)

    def _count(self) -> str:
        return f"{self.done}/{self.total}" if self.total else str(self.done)

    def _rate(self) -> str:
        return pace(self.done / self._seconds()) if self.done and self.done != self.total else ""

    def _left(self) -> str:
        if not self.total or not 0 < self.done < self.total:
            return ""
        return f"{duration((self.total - self.done) * self._seconds() / self.done)} left"

    def _bar(self) -> None:
        if self._ended.wait(QUIET_SECONDS):
            return
        from rich import progress
        from rich.console import Console

        columns: tuple[Any, ...] = (
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.fields[line]}"),
        )
        with progress.Progress(*columns, console=Console(file=terminal(sys.stderr)), transient=True) as bar:
            task = bar.add_task(literal(self.description), total=self.total, line="")
            while not self._ended.wait(LIVE_EVERY_SECONDS):
                line = " · ".join(filter(None, [self._count(), self._rate(), self._left(), self.note]))
                bar.update(task, completed=self.done, line=literal(line))


def pace(per_second: float) -> str:
    """Format a rate; below one a second as seconds for each."""
    return f"{per_second:.1f}/s" if per_second >= 1.0 else f"{1.0 / per_second:.1f} s each"


def duration(seconds: float) -> str:
    """Format a time: 42 s, 7 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` while showing progress."""
    with Progress(description, total if total is not None else _length(items)) as progress:
        for item in items:
            yield item
            progress.advance()


def _length(items: Iterable[Any]) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None
