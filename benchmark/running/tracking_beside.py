"""A sweep's tracking, carried out in a process beside the one that computes its points."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from benchmark.core.errors import TrackingError
from benchmark.core.secrets import redact
from benchmark.results.mlflow_entry import POINT_VARIABLE
from benchmark.tracking import Mlflow

Then = Callable[[str | None], None]
"""Is told how a call ended: the message of an error, or None."""
MOST_WAITING = 2
"""Calls that may wait: points are not computed far ahead of their entries."""
ENDED = "the process that tracks has ended; log what is missing with: python -m benchmark track RESULTS_ROOT/runs/*"


def can_fork() -> bool:
    """Whether a process can be split off safely: on Linux, and while no other thread may hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1


class Beside:
    """Calls of a tracker, carried out one after another, each as soon as the one before is done.

    The process ends with the one that made it, however that ends, once what was asked for is done.

    Args:
        tracker: whose calls.
        last: called there before it ends.
    """

    def __init__(self, tracker: Mlflow, *, last: Callable[[], None]) -> None:
        self.tracker = tracker
        self._waiting: deque[Then] = deque()
        self._near, far = get_context("fork").Pipe()
        self._process = get_context("fork").Process(target=_serve, args=(far, self._near, tracker, last), daemon=True)
        with _held(signal.SIGINT):  # it comes to the new process only when that one ignores it
            self._process.start()
        far.close()

    def ask(self, method: str, *args: Any, then: Then, **named: Any) -> None:
        """Ask for a call, and tell ``then`` how it ended, at a later call of this object; waits where others do."""
        self._hear(at_most=MOST_WAITING)
        self._waiting.append(then)
        with suppress(OSError):  # it has ended; that is told when its answer is missed
            self._near.send((method, args, named, os.environ.get(POINT_VARIABLE, "")))
        self._hear(at_most=MOST_WAITING + 1)

    def settle(self) -> None:
        """Wait until every call has ended."""
        self._hear(at_most=0)

    def close(self) -> None:
        """End the process, once every call has ended."""
        try:
            self.settle()
        finally:
            self._near.close()
            self._process.join()

    def _hear(self, *, at_most: int) -> None:
        """Tell how calls ended, those that are done and as many more as it takes that no more wait than this."""
        while self._waiting and (len(self._waiting) > at_most or self._near.poll()):
            try:
                told = self._near.recv()
            except (EOFError, OSError):
                told = ENDED
            self._waiting.popleft()(told)


@contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    """Let a signal wait until the block ends; a process that is forked meanwhile lets it wait too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(far: Connection, near: Connection, tracker: Mlflow, last: Callable[[], None]) -> None:
    """Carry out calls until the other side is gone; Ctrl-C is for that one, which says what becomes of the sweep."""
    near.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with suppress(EOFError, OSError):
        while True:
            method, args, named, point = far.recv()
            os.environ[POINT_VARIABLE] = point
            told = None
            try:
                getattr(tracker, method)(*args, **named)
            except TrackingError as error:
                told = str(error)
            except Exception as error:
                print(redact(traceback.format_exc()), file=sys.stderr)
                told = redact(f"{type(error).__name__}: {error}")
            with suppress(OSError):  # nobody is left to hear it, and what was asked for is still to be done
                far.send(told)
    with suppress(TrackingError):
        last()
