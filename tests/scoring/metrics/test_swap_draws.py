"""Permutations are drawn in blocks: the same ones as all at once, and no block larger than it may be."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from benchmark.scoring.metrics import swap_draws
from benchmark.scoring.metrics.swap_draws import Swaps, blocks, rows_at_a_time


def _at_once(category: str, number: int, n: int) -> np.ndarray:
    return np.random.default_rng([zlib.crc32(category.encode()), n]).integers(0, 2, (number, n), dtype=np.uint8)


@pytest.mark.parametrize("most", [64, 5_000, 1 << 24])
def test_blocks_hold_what_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(swap_draws, "BLOCK_BYTES", most)
    alone = Swaps(number=601, sizes={"b": 333})
    assert np.array_equal(np.concatenate(list(alone.blocks())), _at_once("b", 601, 333))
    assert np.array_equal(np.concatenate(list(alone.blocks())), np.concatenate(list(alone.blocks())))


def test_all_categories_together_swap_what_each_of_them_swaps() -> None:
    together = Swaps(number=300, sizes={"a": 5, "b": 14})
    assert together.n == 19
    whole = np.concatenate([_at_once("a", 300, 5), _at_once("b", 300, 14)], axis=1)
    assert np.array_equal(np.concatenate(list(together.blocks())), whole)
    assert np.array_equal(np.concatenate(list(blocks(whole))), whole), "given ones are taken as they are"


@pytest.mark.parametrize("n", [0, 1, 4_095, 65_536, 65_537, 100_000, 1_000_000, 4_000_000])
def test_no_block_is_larger_than_it_may_be(n: int) -> None:
    rows = rows_at_a_time(n)
    assert 4 <= rows <= swap_draws.ROWS and rows % 4 == 0
    assert rows * n <= swap_draws.BLOCK_BYTES
