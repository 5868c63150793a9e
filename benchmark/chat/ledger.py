"""What was asked and paid for, line by line, so that limits and budgets outlive a killed run."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
"""Daily quotas are reset at midnight there."""


class Ledger:
    """An append-only file of attempts and costs of one model.

    Args:
        path: the file; its folder is made with the first line.
        job: name of the run that spends; a budget holds for one job over all its restarts.
    """

    def __init__(self, path: Path, *, job: str) -> None:
        self.path = path
        self.job = job
        self._lock = threading.Lock()
        self._today: dict[str, int] = {}
        self.spent = 0.0
        """US dollars of this job so far."""
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                    self._count(str(entry["day"]), int(entry["attempts"]))
                    self.spent += float(entry["usd"]) if entry["job"] == self.job else 0.0
                except (ValueError, KeyError, TypeError):
                    continue  # the last line of a killed writer

    def _count(self, day: str, attempts: int) -> None:
        self._today[day] = self._today.get(day, 0) + attempts

    def attempts_today(self) -> int:
        """Return how many attempts were made since midnight, Pacific time."""
        return self._today.get(_day(), 0)

    def note(self, *, attempts: int = 0, usd: float = 0.0) -> None:
        """Append one line at once."""
        day = _day()
        with self._lock:
            self._count(day, attempts)
            self.spent += usd
            self.path.parent.mkdir(parents=True, exist_ok=True)
            entry = {"day": day, "job": self.job, "attempts": attempts, "usd": usd}
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, (json.dumps(entry) + "\n").encode())
            finally:
                os.close(handle)


def _day() -> str:
    return datetime.now(UTC).astimezone(PACIFIC).date().isoformat()
