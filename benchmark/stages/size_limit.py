"""A limit on the bytes of a store's folder: past it, the entries unused longest are removed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark.core.errors import StoreError
from benchmark.stages.store_files import Entry

log = logging.getLogger(__name__)

EVICT_TO = 0.9
"""Share of the limit that is left after an eviction, so that not every put evicts."""
LOOK_AFTER = 0.05
"""Share of the limit written by this process after which the folder is measured again (others write too)."""


class SizeLimit:
    """Keeps a folder of entries below a size; the folder is measured only now and then.

    Args:
        place: what people call the store.
        max_bytes: when the entries grow past this, those unused longest are removed.

    Raises:
        StoreError: a limit that is no positive number.
    """

    def __init__(self, place: str, max_bytes: int) -> None:
        if max_bytes <= 0:
            raise StoreError(f"store size limit of {max_bytes} bytes: give a positive number, or null for no limit")
        self._place, self._max = place, max_bytes
        self._size: int | None = None
        self._written = 0
        self._lock = threading.Lock()

    def added(self, size: int, stored: Callable[[], Iterable[Entry]]) -> None:
        """Count an entry of so many bytes, and remove some of what is ``stored`` where the limit is passed."""
        with self._lock:
            self._written += size
            if self._size is not None:
                self._size += size
                if self._size <= self._max and self._written < LOOK_AFTER * self._max:
                    return
            self._written = 0
            self._size = self._evicted(stored())

    def _evicted(self, stored: Iterable[Entry]) -> int:
        """Measure the folder and remove what is too much; returns the bytes that are left."""
        entries = sorted(stored, key=lambda entry: entry.used)
        before = size = sum(entry.size for entry in entries)
        if size <= self._max:
            return size
        for entry in entries:
            if size <= EVICT_TO * self._max:
                break
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
                size -= entry.size
        log.info("stage store %s: over its limit, removed %.1f MB unused longest", self._place, (before - size) / 1e6)
        return size
