"""Where the time of stages went."""

from __future__ import annotations

from benchmark.results.profile import StageTime, stage_times, together
from benchmark.results.schema import Measured


def test_seconds_become_shares_of_each_stage_and_of_all() -> None:
    measured = Measured.model_construct(
        seconds_per_stage={"slow": 7.0, "idle": 0.0, "free": 1.0},
        seconds_waiting={"slow": 2.0, "idle": 0.0, "free": 0.0},
        seconds_storing={"slow": 1.0, "idle": 0.0, "free": 1.0},
    )
    times = stage_times(measured)
    assert times == {"slow": StageTime(7.0, 2.0, 1.0), "free": StageTime(1.0, 0.0, 1.0)}
    assert str(times["slow"]) == "70 % computing, 20 % waiting for images, 10 % store"
    assert together(times.values()) == StageTime(8.0, 2.0, 2.0)
    assert together([]) == StageTime(0, 0, 0) and str(StageTime(0, 0, 0)) == "no time"


def test_results_from_before_have_no_shares() -> None:
    assert stage_times(Measured.model_construct(seconds_per_stage={"slow": 7.0})) == {}
