"""Permutations of runs over many images: in files, and the same ones as in memory."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from benchmark.core import mapped
from benchmark.report.papers import significance


def test_swaps_of_many_images_lie_in_files_and_are_the_same_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.random.default_rng([zlib.crc32(b"a"), 333]).integers(0, 2, (600, 333), dtype=np.uint8)
    monkeypatch.setattr(mapped, "HELD_BYTES", 1000)
    drawn = significance._swaps("a", 600, 333)
    assert mapped.is_mapped(drawn) and np.array_equal(drawn, whole)
