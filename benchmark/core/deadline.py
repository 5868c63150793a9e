"""A limit on the whole of a call, for libraries that limit each read alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], *, progress: Callable[[], int] | None = None) -> Result:
    """Return what ``call`` returns, or raise what it raises, after so many seconds at most.

    A time-out of an HTTP client counts each read, so that a server that sends a byte now and then holds it for ever.
    The call runs in a thread of its own. One that is late goes on there unheard, and does not keep the process alive.

    Args:
        seconds: the limit.
        call: what to do.
        progress: a number that grows while the call gets on; the limit is then on the time in which it does not.

    Raises:
        TimeoutError: ``call`` takes longer.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, name="within", daemon=True).start()
    while True:
        now = None if progress is None else progress()
        try:
            return done.result(timeout=seconds)
        except TimeoutError:
            if done.done():  # raised by the call itself
                raise
            if progress is None or progress() == now:
                raise TimeoutError(f"no whole reply within {seconds:g} s") from None
