"""A bounded memory of this process, for what the points of a sweep share, and the way back of what it has freed."""

from __future__ import annotations

import ctypes
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
PROCESS_BYTES = 256_000_000
"""What a sweep gives the memory that its points share."""
LARGEST_SHARE = 1 / 128
"""A value larger than this share of the limit is not kept: a few such values would push out all others."""


class Memory:
    """Keeps values up to a number of bytes; those unused longest go first.

    Values are shared, not copied: whoever gets one must not change it.

    Args:
        max_bytes: the limit, as ``held_bytes`` counts.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes held."""
        return self._held

    def get(self, key: Hashable) -> Any | None:
        """Return the value kept under ``key``, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value unless it is too large; an older one under the same key is replaced."""
        if self.max_bytes == 0:
            return
        size = held_bytes(value)
        with self._lock:
            self._held -= self._values.pop(key, (None, 0))[1]
            if size > LARGEST_SHARE * self.max_bytes:
                return
            self._values[key] = value, size
            self._held += size
            while self._held > self.max_bytes:
                _, (_, freed) = self._values.popitem(last=False)
                self._held -= freed

    def memoize(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value kept under ``key``, or make and keep it; None is not kept."""
        found = self.get(key)
        if found is None:
            found = make()
            self.put(key, found)
        value: T = found
        return value

    def allow(self, max_bytes: int) -> None:
        """Set the limit; what is above a lower one goes at the next ``put``."""
        self.max_bytes = max_bytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._held = 0


process_memory = Memory(0)
"""The memory that all runs of this process share; its keys are content hashes, so nothing in it goes out of date.

It keeps nothing until ``allow`` gives it room, as a sweep does: a single run reads everything once anyway.
"""


def give_back_freed() -> None:
    """Give the system what the C library keeps of freed memory, between live pieces too, where it is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def held_bytes(value: Any) -> int:
    """Estimate the bytes that a value holds: arrays, bytes, and what dataclasses, mappings and sequences hold."""
    if isinstance(value, np.ndarray):
        return 128 + int(value.nbytes)
    if isinstance(value, (bytes, str)):
        return 64 + len(value)
    if isinstance(value, Mapping):
        return 256 + sum(held_bytes(k) + held_bytes(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return 64 + sum(held_bytes(v) for v in value)
    if dataclasses.is_dataclass(value):
        return 64 + sum(held_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    return 32
