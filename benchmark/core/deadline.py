"""A limit on the whole of a call, for libraries that limit each read alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what ``call`` returns, or raise what it raises, after so many seconds at most.

    A time-out of an HTTP client counts each read, so that a server that sends a byte now and then holds it for ever.
    The call runs in a thread of its own. One that is late goes on there unheard, and does not keep the process alive.

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
    try:
        return done.result(timeout=seconds)
    except TimeoutError:
        if done.done():  # raised by the call itself
            raise
        raise TimeoutError(f"no whole reply within {seconds:g} s") from None
