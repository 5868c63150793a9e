"""The swap test sees a better run as often as the interval did, once both star equal runs as seldom."""

from __future__ import annotations

import numpy as np
import pytest

from tests.null_world import both_tests, by_interval, power_at_level


def test_the_interval_of_a_difference_as_a_p_value() -> None:
    gaps = np.array([-1.0, *np.linspace(0.1, 5.0, 398)])
    assert by_interval(gaps, np.zeros(399)) == by_interval(np.zeros(399), gaps) == pytest.approx(4 / 400)
    assert by_interval(gaps, gaps) == 1.0
    assert by_interval(np.array([np.nan, 1.0, 1.0, 1.0]), np.zeros(4)) == pytest.approx(2 / 4)
    assert by_interval(np.full(9, np.nan), np.zeros(9)) == 1.0


def test_power_is_taken_where_a_test_stars_the_level_of_equal_runs() -> None:
    null = np.arange(1, 201)[:, None] / 200  # 5 % at or below 0.05
    assert power_at_level(null, np.full((50, 1), 0.05)) == 1.0
    assert power_at_level(null, np.full((50, 1), 0.055)) == 0.0
    eager = null / 10.0  # stars half of equal runs at 0.05
    assert power_at_level(eager, np.full((50, 1), 0.02)) == 0.0
    tied = np.repeat([[0.02], [0.9]], 100, axis=0)  # half of equal runs share the smallest value
    assert power_at_level(tied, np.full((50, 1), 0.02)) == 0.0
    assert power_at_level(tied, np.full((50, 1), 0.01)) == 1.0


def test_both_tests_judge_the_same_runs() -> None:
    found = both_tests(bad=6, good=8, trials=6, better=3.0, draws=99)
    assert found["swap"].shape == found["interval"].shape == (6, 8)
    for p in found.values():
        assert ((p > 0) & (p <= 1)).all()
        assert np.mean(p[:, :3] <= 0.05) > 0.8, "pixel metrics of a run that lifts defects this far"


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "good"), [(5, 5), (10, 20)])
def test_the_swap_test_loses_no_power_at_its_level(bad: int, good: int) -> None:
    null = both_tests(bad=bad, good=good, trials=200, better=0.0, seed=1)
    other = both_tests(bad=bad, good=good, trials=200, better=0.6, seed=2)
    assert np.mean(null["swap"] <= 0.05) <= 0.06
    power = {test: power_at_level(null[test], other[test]) for test in null}
    assert power["swap"] >= power["interval"] - 0.05, power
