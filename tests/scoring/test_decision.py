"""Thresholds by cost and rate: least of all, honest on other images, calibrated or not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.core.errors import ConfigError
from benchmark.scoring.decision import (
    Costs,
    calibration,
    cost_curve,
    decide,
    decisions,
    good_quantile,
    least_cost,
    on_other_half,
)
from tests.harness import SMALL_SAT, run


def world(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    return rng.normal(size=n) + 1.5 * truth, truth


@pytest.mark.parametrize(("miss", "overkill"), [(1, 1), (100, 1), (1, 100), (0, 1), (1, 0)])
def test_no_threshold_costs_less_than_the_chosen_one(miss: float, overkill: float) -> None:
    costs = Costs(miss=miss, overkill=overkill)
    for seed in range(20):
        scores, truth = world(40, seed=seed)
        scores = np.round(scores, 1)
        best = decide("x", scores >= least_cost(costs)(scores, truth), truth, costs).cost
        every = [decide("x", scores >= t, truth, costs).cost for t in (*np.unique(scores), np.inf)]
        assert best == pytest.approx(min(every))
        thresholds, cost = cost_curve(scores, truth, costs)
        for t, c in zip(thresholds, cost, strict=True):
            assert c == pytest.approx(decide("x", scores >= t, truth, costs).cost)


def test_costs_that_make_no_sense_are_refused() -> None:
    for values in ((-1, 1), (math.nan, 1), (math.inf, 1), (0, 0)):
        with pytest.raises(ConfigError, match="costs"):
            Costs(miss=values[0], overkill=values[1])
    with pytest.raises(ConfigError, match="rate"):
        good_quantile(1.5)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_a_quantile_of_good_images_keeps_its_rate_on_new_ones(rate: float) -> None:
    rng, alarms = np.random.default_rng(0), []
    for _ in range(400):
        good = rng.normal(size=60)
        threshold = good_quantile(rate)(good, np.zeros(60, dtype=bool))
        alarms.append(np.mean(rng.normal(size=200) >= threshold))
    assert np.mean(alarms) == pytest.approx(rate, abs=0.012) and np.mean(alarms) <= rate + 0.005
    assert good_quantile(rate)(np.arange(3.0), np.zeros(3, dtype=bool)) == math.inf
    assert good_quantile(0.05)(np.arange(30.0), np.ones(30, dtype=bool)) == math.inf


def test_a_threshold_of_the_other_half_never_sees_the_image_that_it_judges() -> None:
    scores, truth = world(80)
    groups = [str(i // 2) for i in range(80)]
    seen: list[set[float]] = []

    def spy(some: np.ndarray, labels: np.ndarray) -> float:
        seen.append(set(some.tolist()))
        return 0.5

    found = on_other_half(scores, truth, groups, spy)
    assert found is not None
    assert not seen[0] & seen[1] and seen[0] | seen[1] == set(scores.tolist())
    for a, b in zip(range(0, 80, 2), range(1, 80, 2), strict=True):
        assert (scores[a] in seen[0]) == (scores[b] in seen[0]), "a group is in one half"
    assert on_other_half(scores, truth, ["one"] * 80, spy) is None


def test_only_the_first_row_is_an_oracle_and_it_is_the_cheapest_of_the_chosen() -> None:
    scores, truth = world(200)
    rows = list(decisions(scores, truth, [str(i) for i in range(200)], costs=Costs(), rate=0.05, labels=truth))
    assert [r.name.startswith("oracle") for r in rows] == [True] + [False] * (len(rows) - 1)
    assert all(rows[0].cost <= r.cost + 1e-12 for r in rows if "validation" in r.name or "all called" in r.name)
    assert all(r.tp + r.fp + r.fn + r.tn == 200 for r in rows)


def test_calibration_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    good = calibration(p, rng.random(p.size) < p)
    assert good is not None and good.error < 0.01 and good.brier == pytest.approx(1 / 6, abs=0.01)
    bad = calibration(np.full(1000, 0.9), np.arange(1000) < 300)
    assert bad is not None and bad.error == pytest.approx(0.6) and bad.n.tolist() == [1000]
    assert calibration(np.array([0.0, 1.0]), np.array([False, True])).brier == 0.0
    assert calibration(np.array([0.0, 1.2]), np.array([False, True])) is None
    assert calibration(np.array([0.5, np.inf]), np.array([False, True])) is None


def test_the_command_writes_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "pipeline=reference_difference", *SMALL_SAT).folder
    root = ["--results-root", str(tmp_path / "results")]
    assert main(["decide", folder.name, "cost.miss=100", "cost.overkill=1", "rate=0.2", *root]) == 0
    out = capsys.readouterr().out
    assert "oracle: least cost" in out and "validation half, good images alone: 0.2 alarms" in out
    assert {p.suffix for p in (tmp_path / "results" / "decisions").iterdir()} == {".md", ".csv", ".tex", ".svg"}
    assert main(["decide", folder.name, "cost.mis=100", *root]) == 1
    assert "did you mean 'cost.miss'" in capsys.readouterr().err
    assert main(["decide", folder.name, "cost.miss=cheap", *root]) == 1
    assert "not a number" in capsys.readouterr().err
    assert main(["decide", *root]) == 1
    assert "make decide" in capsys.readouterr().err
