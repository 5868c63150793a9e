"""Resampling: exact where it can be, close where thresholds are thinned, and covering what it should."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmark.scoring.metrics import bootstrap, intervals, pixel, pool
from benchmark.scoring.metrics.tables import dense_table
from tests.scoring.metrics.maps import continuous, few_valued

FUNCTIONS = {"ap": pixel.ap, "f1_max": pixel.f_beta_max, "auroc": pixel.auroc, "aupro": pixel.aupro}


def tabled(maker, number=12, size=64):
    maps, masks = maker(number, size)
    return [dense_table(s, m, components=True) for s, m in zip(maps, masks, strict=True)]


def exact(tables, row):
    return pool.count([t for t, times in zip(tables, row, strict=True) for _ in range(int(times))])


def test_replicates_of_few_valued_pools_are_exact():
    tables = tabled(few_valued)
    weights = bootstrap.resample(len(tables), resamples=20, seed=1, stratum="a")
    drawn = bootstrap.replicates(bootstrap.image_curves(tables, pool.count(tables)), weights, FUNCTIONS)
    for at, row in enumerate(weights):
        counts = exact(tables, row)
        for name, function in FUNCTIONS.items():
            assert drawn[name][at] == pytest.approx(float(function(counts)), abs=1e-12, nan_ok=True)


def test_replicates_of_continuous_pools_are_close():
    tables = tabled(continuous, size=128)
    counts = pool.count(tables)
    assert counts.score.size > 2048
    each = bootstrap.image_curves(tables, counts, bins=512)
    weights = bootstrap.resample(len(tables), resamples=20, seed=1, stratum="a")
    drawn = bootstrap.replicates(each, weights, FUNCTIONS)
    plain = bootstrap.replicates(each, np.ones((1, len(tables))), FUNCTIONS)
    for name, function in FUNCTIONS.items():
        shift = float(function(counts)) - plain[name][0]
        errors = [abs(drawn[name][k] + shift - float(function(exact(tables, row)))) for k, row in enumerate(weights)]
        assert max(errors) < 1e-3, name


def test_thinned_thresholds_keep_the_first_and_the_last():
    counts = pool.count(tabled(continuous))
    chosen = bootstrap.thinned(counts, bins=64)
    assert chosen.size <= 64
    assert chosen[:8].tolist() == list(range(8))
    assert chosen[-1] == counts.score.size - 1
    steps = np.diff(counts.tp[chosen[8:]])
    assert steps.max() <= 2 * counts.n_pos / 50


def test_resamples_are_seeded_by_stratum_and_keep_the_number_of_images():
    first = bootstrap.resample(9, resamples=50, seed=3, stratum="bottle")
    assert np.array_equal(first, bootstrap.resample(9, resamples=50, seed=3, stratum="bottle"))
    assert not np.array_equal(first, bootstrap.resample(9, resamples=50, seed=4, stratum="bottle"))
    assert not np.array_equal(first, bootstrap.resample(9, resamples=50, seed=3, stratum="cable"))
    assert (first.sum(axis=1) == 9).all()


def test_intervals_are_percentiles_and_leave_undefined_resamples_out():
    values = np.arange(1001, dtype=np.float64)
    for replicates in (values, np.concatenate((values, np.full(500, np.nan)))):
        ends = intervals.expanded(replicates, confidence=0.95, n=1e9)
        assert ends.low == pytest.approx(25.0)
        assert ends.high == pytest.approx(975.0)
    most = np.concatenate((values, np.full(1500, np.nan)))
    assert intervals.expanded(most, confidence=0.95, n=1e9).low is None


def test_the_interval_of_a_mean_has_its_textbook_width():
    values = np.random.default_rng(0).normal(size=400)
    weights = bootstrap.resample(400, resamples=4000, seed=0, stratum="x")
    ends = intervals.expanded(weights @ values / 400, confidence=0.95, n=400)
    assert ends.low is not None
    assert ends.high is not None
    assert ends.high - ends.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_pairing_cancels_what_both_runs_share():
    rng = np.random.default_rng(0)
    hard, gain = rng.normal(size=60), rng.normal(0.1, 0.02, size=60)
    weights = bootstrap.resample(60, resamples=1000, seed=0, stratum="x")
    first, second = weights @ (hard + gain) / 60, weights @ hard / 60
    paired = intervals.expanded(first - second, confidence=0.95, n=60)
    alone = intervals.expanded(first, confidence=0.95, n=60)
    assert paired.low is not None
    assert paired.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert 0 < paired.low < 0.1 < paired.high
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


@pytest.mark.parametrize("block", [1, 7 * 64, 1 << 30])
def test_blocks_of_images_change_no_value(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    rng = np.random.default_rng(8)
    tables = [
        dense_table(rng.random((6, 6)).astype(np.float32), rng.random((6, 6)) < 0.3, components=True) for _ in range(23)
    ]
    counts = pool.count(tables)
    weights = bootstrap.resample(len(tables), resamples=40, seed=2, stratum="a")
    curves = partial(bootstrap.image_curves, counts=counts, bins=64)
    each = curves(tables)
    monkeypatch.setattr(bootstrap, "BLOCK", block)
    drawn, plain = bootstrap.pooled_replicates(tables, curves, each.score.size, weights, FUNCTIONS)
    for name, values in bootstrap.replicates(each, weights, FUNCTIONS).items():
        np.testing.assert_allclose(drawn[name], values, rtol=0 if name != "aupro" else 1e-12)
    for name, values in bootstrap.replicates(each, np.ones((1, len(tables))), FUNCTIONS).items():
        np.testing.assert_allclose(plain[name], values, rtol=0 if name != "aupro" else 1e-12)
