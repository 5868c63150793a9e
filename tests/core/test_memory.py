"""The memory of a process stays within its bytes and forgets what was unused longest."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.memory import LARGEST_SHARE, Memory, give_back_freed, held_bytes
from benchmark.core.samples import MaskSet
from benchmark.stages.store import Store

KEY = "ab" * 32


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1500)), max_size=80))
def test_the_limit_is_kept_and_the_last_value_is_found(puts: list[tuple[int, int]]) -> None:
    memory = Memory(128_000)
    for key, size in puts:
        value = np.zeros(size, dtype=np.uint8)
        memory.put(key, value)
        assert memory.held <= memory.max_bytes
        found = memory.get(key)
        assert (found is None) == (held_bytes(value) > LARGEST_SHARE * memory.max_bytes)
    assert memory.held == sum(held_bytes(memory.get(k)) for k in range(21) if memory.get(k) is not None)
    memory.clear()
    assert memory.held == 0


def test_the_value_unused_longest_goes_first() -> None:
    memory = Memory(128_000)
    for key in range(127):
        memory.put(key, np.zeros(800, dtype=np.uint8))
    assert memory.get(0) is not None
    for key in range(200, 230):
        memory.put(key, np.zeros(800, dtype=np.uint8))
    assert memory.get(0) is not None
    assert memory.get(1) is None


def test_without_room_nothing_is_kept() -> None:
    memory = Memory(0)
    memory.put("k", 1)
    assert memory.get("k") is None
    memory.allow(10_000)
    memory.put("k", 1)
    assert memory.get("k") == 1


def test_recall_makes_once() -> None:
    memory = Memory(10_000)
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return 7

    assert [memory.memoize("k", make), memory.memoize("k", make)] == [7, 7]
    assert len(made) == 1


def test_all_parts_are_counted() -> None:
    masks = MaskSet.encode(np.ones((3, 50, 50), dtype=bool))
    assert held_bytes({"a": np.zeros(1000), "m": masks, "t": ["xx", b"yy", 3, None]}) > 8000 + sum(
        len(code) for code in masks.counts
    )


def test_the_store_reads_an_entry_from_the_disk_once_and_callers_do_not_share_it(tmp_path: Path) -> None:
    memory = Memory(10_000_000)
    Store(tmp_path).put("toy", KEY, {"x": np.arange(4), "n": 2})
    first = Store(tmp_path, memory=memory).get("toy", KEY)
    Store(tmp_path).path("toy", KEY).unlink()
    assert first is not None
    assert isinstance(first["x"], np.ndarray)
    first["x"][:] = 0
    again = Store(tmp_path, memory=memory).get("toy", KEY)
    assert again is not None
    assert isinstance(again["x"], np.ndarray)
    assert (again["x"].tolist(), again["n"]) == ([0, 1, 2, 3], 2)
    assert Store(tmp_path).get("toy", KEY) is None


def test_what_a_store_writes_it_remembers_as_it_would_read_it(tmp_path: Path) -> None:
    memory = Memory(10_000_000)
    store = Store(tmp_path, memory=memory)
    value = np.arange(4)
    store.put("toy", KEY, {"x": value, "t": (1, 2)})
    value[:] = 9
    from_memory, from_disk = store.get("toy", KEY), Store(tmp_path).get("toy", KEY)
    assert from_memory is not None
    assert from_disk is not None
    assert from_memory["t"] == from_disk["t"] == [1, 2]
    assert np.array_equal(from_memory["x"], from_disk["x"])  # type: ignore[arg-type]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give memory back as they like")
def test_freed_memory_goes_back_to_the_system() -> None:
    pieces = [np.ones(8_000, dtype=np.uint8) for _ in range(8_000)]
    held = _resident_mb()
    del pieces[1:-1]
    give_back_freed()
    assert held - _resident_mb() > 40


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
