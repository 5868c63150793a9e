"""Classes of options that stood elsewhere: told by their new name, recorded under the old one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from benchmark.config.moved import MOVED, OPTIONS, recorded, recorded_choices
from benchmark.config.schema import build, option_settings
from benchmark.core.errors import ConfigError
from benchmark.running.recording import identity
from tests.harness import compose

OLD, NEW = "benchmark.place.Constant", "benchmark.pipelines.constant.Constant"


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOVED, "benchmark.place", "benchmark.pipelines.constant")


@pytest.mark.usefixtures("moved")
def test_an_old_name_is_answered_with_the_new_one() -> None:
    with pytest.raises(ConfigError, match=rf"pipeline\._target_: {OLD} is now {NEW}"):
        option_settings("pipeline", {"_target_": OLD})


@pytest.mark.usefixtures("moved")
def test_a_result_keeps_the_old_name_at_every_depth() -> None:
    values: dict[str, Any] = {"_target_": NEW, "tagger": {"_target_": NEW, "k": 3}, "other": {"_target_": "a.B"}}
    assert recorded(values) == {
        "_target_": OLD,
        "tagger": {"_target_": OLD, "k": 3},
        "other": {"_target_": "a.B"},
    }
    assert values["_target_"] == NEW


def test_a_move_does_not_rename_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, choices = compose("pipeline=constant")
    config = build(composed, choices)
    before = identity(config, composed, "sat")
    monkeypatch.setitem(MOVED, before["pipeline"]["_target_"].rpartition(".")[0], "benchmark.elsewhere")
    composed["pipeline"]["_target_"] = "benchmark.elsewhere.Constant"
    assert identity(config, composed, "sat") == before


def test_an_old_option_is_answered_with_the_new_one_and_recorded_under_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, ("metric", "former"), "full")
    with pytest.raises(ConfigError, match="metric=former is now metric=full"):
        compose("metric=former")
    assert recorded_choices({"pipeline": "constant", "metric": "full"}) == {"metric": "former", "pipeline": "constant"}


def test_every_new_module_is_there() -> None:
    for old, new in MOVED.items():
        assert find_spec(new) is not None and old != new


def test_groups_that_change_no_result_are_not_recorded() -> None:
    choices = {
        "dataset": "a", "pipeline": "b", "protocol": "c", "metric": "d", "backbone@pipeline.backbone": "e",
        "tagger@pipeline.tagger": "f", "tracking": "mlflow", "sweep": "smoothing", "hydra/launcher": "y",
    }  # fmt: skip
    kept = ["backbone@pipeline.backbone", "dataset", "metric", "pipeline", "protocol", "tagger@pipeline.tagger"]
    assert list(recorded_choices(choices)) == kept
