"""Sums of two runs after swaps: those of all images times all permutations at once, without holding either."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from benchmark.scoring.metrics import exchange, swap, swap_draws
from benchmark.scoring.metrics.counts import score_counts
from benchmark.scoring.metrics.pixel import ap, aupro, auroc, f_beta_max
from benchmark.scoring.metrics.swap_draws import Swaps

Parts = dict[str, np.ndarray]


def scores(rng: np.random.Generator, n: int, *, kinds: int, left_out: int = 0) -> Parts:
    """Parts of image scores of ``kinds`` different values, with a few images left out."""
    used = np.sort(rng.permutation(n)[left_out:])
    defective = np.arange(n)[used] % 4 == 0
    return swap.spread_out(swap.score_parts(rng.integers(0, kinds, used.size).astype(float), defective), used, n)


def pixels(rng: np.random.Generator, n: int, levels: int) -> Parts:
    """Parts of pixels at rising counts; three of four images have no defect."""
    n_pos = np.where(np.arange(n) % 4 == 0, 40, 0).astype(np.uint16)
    called = np.sort(rng.integers(0, 41, (n, levels)), axis=1)
    return {
        "used": np.ones(n, dtype=bool), "n_pos": n_pos, "n_neg": np.full(n, 100, np.uint16) - n_pos,
        "tp": np.where(n_pos[:, None] > 0, called, 0).astype(np.uint16),
        "fp": np.sort(rng.integers(0, 60, (n, levels)), axis=1).astype(np.uint16),
        "overlap": np.where(n_pos[:, None] > 0, called / 40.0, 0.0).astype(np.float32),
        "n_components": (n_pos > 0).astype(np.uint16),
    }  # fmt: skip


def ranked_sums(parts: Parts, grid: np.ndarray, taken: np.ndarray) -> dict[str, np.ndarray]:
    """What images add at every threshold, as a matrix, times which of them are taken, (R, n)."""
    rank, bad = parts["rank"].astype(float)[:, None], (parts["defective"] & parts["used"])[:, None]
    good = ~parts["defective"][:, None] & parts["used"][:, None]
    added = {"tp": (rank >= grid) & bad, "fp": (rank >= grid) & good, "fp_above": (rank > grid) & good}
    sums = {name: taken.astype(float) @ each.astype(float) for name, each in added.items()}
    return sums | {"n_pos": taken.astype(float) @ bad[:, 0], "n_neg": taken.astype(float) @ good[:, 0]}


@pytest.mark.parametrize(("n", "kinds", "left_out"), [(1, 1, 0), (7, 3, 2), (40, 1, 0), (900, 6, 30), (1200, 4000, 1)])
def test_running_sums_are_those_of_all_images_at_all_thresholds(
    monkeypatch: pytest.MonkeyPatch, n: int, kinds: int, left_out: int
) -> None:
    monkeypatch.setattr(exchange, "MOST_RANKS", 100)
    rng = np.random.default_rng(n)
    one, two = (scores(rng, n, kinds=kinds, left_out=left_out) for _ in range(2))
    rows = rng.integers(0, 2, (60, n), dtype=np.uint8)
    grid = exchange._thresholds(one, two)
    assert grid.size <= 100
    kept, taken = ranked_sums(one, grid, 1 - rows), ranked_sums(two, grid, rows)
    lost, given = ranked_sums(two, grid, 1 - rows), ranked_sums(one, grid, rows)
    a, b = exchange.exchange(one, two, "image_scores").after(rows)
    for name in kept:
        np.testing.assert_array_equal(getattr(a, name), kept[name] + taken[name], err_msg=name)
        np.testing.assert_array_equal(getattr(b, name), lost[name] + given[name], err_msg=name)


def test_unswapped_ranks_give_the_metrics_of_the_scores() -> None:
    rng = np.random.default_rng(3)
    run = scores(rng, 600, kinds=90)
    a, _ = exchange.exchange(run, run, "image_scores").after(np.zeros((1, 600), np.uint8))
    plain = score_counts(run["rank"].astype(float), run["defective"])
    for metric in (ap, auroc, f_beta_max):
        assert metric(a)[0] == metric(plain)


def test_images_in_blocks_give_the_sums_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    one, two = pixels(rng, 301, 16), pixels(rng, 301, 16)
    rows = rng.integers(0, 2, (130, 301), dtype=np.uint8)
    functions: dict[str, Any] = {"ap": ap, "auroc": auroc, "aupro": aupro}
    whole = exchange.exchange(one, two, "pixels").after(rows)
    at_once = swap.permuted(one, two, functions, source="pixels", swaps=rows)
    monkeypatch.setattr(exchange, "IMAGES", 20)
    monkeypatch.setattr(swap_draws, "BLOCK_BYTES", 5_000)
    for run, expected in zip(exchange.exchange(one, two, "pixels").after(rows), whole, strict=True):
        for name in ("tp", "fp", "fp_above", "n_pos", "n_neg", "n_components"):
            np.testing.assert_array_equal(getattr(run, name), getattr(expected, name), err_msg=name)
        np.testing.assert_allclose(run.overlap, expected.overlap, rtol=1e-12)
    expected = one["tp"].sum(axis=0) + rows.astype(int) @ (two["tp"].astype(int) - one["tp"])
    np.testing.assert_array_equal(whole[0].tp, expected)
    in_blocks = swap.permuted(one, two, functions, source="pixels", swaps=rows)
    assert {name: found.p for name, found in in_blocks.items()} == {name: found.p for name, found in at_once.items()}


@pytest.mark.parametrize("source", ["pixels", "image_scores"])
def test_memory_is_bounded_by_the_blocks(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(swap_draws, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(exchange, "ENTRIES", 1 << 12)
    rng, n, levels = np.random.default_rng(6), 5_000, 32
    one, two = (pixels(rng, n, levels) if source == "pixels" else scores(rng, n, kinds=levels) for _ in range(2))
    tracemalloc.start()
    try:
        swap.permuted(one, two, {"ap": ap}, source=source, swaps=Swaps(number=24, sizes={"a": n}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 900_000 < n * levels * 8, "counts of all images at all thresholds take 1.3 MB a name as numbers"
