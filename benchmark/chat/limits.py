"""Rate limits and the budget: nothing is sent that they do not allow."""

from __future__ import annotations

import threading
import time
from collections import deque

from benchmark.chat.access import Calls
from benchmark.chat.ledger import Ledger

SLACK = 1.02
"""A window is taken this much longer, as messages do not all travel at one speed."""


class Stop(Exception):
    """Nothing more is to be sent in this run; what is stored stays, and the same command goes on later."""


class Limiter:
    """Lets attempts pass at the allowed rate; shared by all threads.

    Windows slide: in no stretch of ``window_s`` seconds more than ``rpm`` attempts or ``tpm`` tokens start.
    """

    def __init__(self, calls: Calls, ledger: Ledger) -> None:
        self.calls = calls
        self.ledger = ledger
        self._turn = threading.Condition()
        self._sent: deque[tuple[float, int]] = deque()
        self._not_before = 0.0
        self._stopped: str | None = None

    def acquire(self, tokens: int) -> None:
        """Wait until one attempt of so many prompt tokens may start, and count it.

        Raises:
            Stop: the day's requests are used up, or the run was stopped.
        """
        with self._turn:
            while True:
                if self._stopped is not None:
                    raise Stop(self._stopped)
                if self.calls.rpd is not None and self.ledger.attempts_today() >= self.calls.rpd:
                    raise Stop(f"the {self.calls.rpd} requests of the day (pipeline.calls.rpd) are used up")
                wait = self._wait(time.monotonic(), tokens)
                if wait <= 0:
                    break
                self._turn.wait(wait)
            self._sent.append((time.monotonic(), tokens))
        self.ledger.note(attempts=1)

    def _wait(self, now: float, tokens: int) -> float:
        """Seconds until the next look; 0 where the attempt may start."""
        length = self.calls.window_s * SLACK
        while self._sent and self._sent[0][0] <= now - length:
            self._sent.popleft()
        if now < self._not_before:
            return self._not_before - now
        if not self._sent:
            return 0.0  # one request larger than tpm has to pass at some time
        full = self.calls.rpm is not None and len(self._sent) >= self.calls.rpm
        heavy = self.calls.tpm is not None and sum(t for _, t in self._sent) + tokens > self.calls.tpm
        return self._sent[0][0] + length - now + 1e-3 if full or heavy else 0.0

    def pause(self, seconds: float) -> None:
        """Let no attempt start before so many seconds have passed: the server asked for it."""
        with self._turn:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait before another attempt; raises Stop as soon as the run is stopped."""
        end = time.monotonic() + seconds
        with self._turn:
            while (left := end - time.monotonic()) > 0:
                if self._stopped is not None:
                    raise Stop(self._stopped)
                self._turn.wait(left)

    def stop(self, reason: str) -> Stop:
        """Let nothing more start, wake all who wait, and return what to raise: the first reason holds."""
        with self._turn:
            self._stopped = self._stopped or reason
            self._turn.notify_all()
            return Stop(self._stopped)


class Budget:
    """A hard limit on money: before a call its largest possible cost is set aside.

    Args:
        limit: US dollars for the job over all its restarts; None: no limit.
        ledger: what was spent so far.
    """

    def __init__(self, limit: float | None, ledger: Ledger) -> None:
        self.limit = limit
        self.ledger = ledger
        self._turn = threading.Condition()
        self._reserved = 0.0

    def reserve(self, most: float) -> None:
        """Set the largest possible cost of a call aside, waiting for calls under way where that decides.

        Raises:
            Stop: the call could cost more than is left.
        """
        if self.limit is None:
            return
        with self._turn:
            while self.ledger.spent + self._reserved + most > self.limit:
                if self._reserved <= 1e-12:
                    raise self._exceeded(most)
                self._turn.wait(1.0)
            self._reserved += most

    def check(self, most: float) -> None:
        """Raise Stop where so much more cannot be spent."""
        if self.limit is not None and self.ledger.spent + most > self.limit:
            raise self._exceeded(most)

    def _exceeded(self, most: float) -> Stop:
        return Stop(
            f"pipeline.budget_usd={self.limit:g}: {self.ledger.spent:.4f} USD are spent and what comes next could cost "
            f"{most:.4f} USD"
        )

    def settle(self, most: float, cost: float) -> None:
        """Give the reserve back and book what the call did cost."""
        if cost:
            self.ledger.note(usd=cost)
        if self.limit is None:
            return
        with self._turn:
            self._reserved = max(0.0, self._reserved - most)
            self._turn.notify_all()
