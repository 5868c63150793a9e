"""Progress of a download or an unpacking in bytes: size, rate and time left on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.core.terminal import printable, terminal
from benchmark.fetching.download import OnProgress

_PLAIN_EVERY_SECONDS = 10.0


@contextmanager
def shown(description: str) -> Iterator[OnProgress]:
    """Give a callback for ``download`` or ``unpack`` that shows a bar on a terminal and plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield _plain_lines(description)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(file=terminal(sys.stderr)), transient=True) as bar:
        task = bar.add_task(printable(description), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain_lines(description: str) -> OnProgress:
    start = last = time.monotonic()
    first: int | None = None

    def line(done: int, total: int | None) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = done if first is None else first
        finished = total is not None and done >= total
        if now - last < _PLAIN_EVERY_SECONDS and not (finished and last > start):
            return
        last = now
        # A resumed download starts in the middle: what was there already has no rate.
        rate = (done - first) / max(now - start, 1e-9)
        of = f" of {total / 1e6:.1f}" if total else ""
        left = f", {(total - done) / rate:.0f} s left" if total and rate and not finished else ""
        print(f"{description}: {done / 1e6:.1f}{of} MB, {rate / 1e6:.1f} MB/s{left}", file=sys.stderr, flush=True)

    return line
