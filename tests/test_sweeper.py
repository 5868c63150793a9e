"""A sweep composes one point of every combination of options before it starts, and finds what cannot be composed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from benchmark.sweeper import choices, compose_points_once


def test_values_of_plain_keys_do_not_count() -> None:
    assert choices(["pipeline=a", "pipeline.k=3", "+x.y=2"]) == ("pipeline=a", "pipeline.k", "+x.y")


def test_one_point_of_each_choice_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BasicSweeper, "validate_batch_is_legal", BasicSweeper.validate_batch_is_legal)
    compose_points_once()
    composed: list[list[str]] = []

    class Loader:
        def load_sweep_config(self, *, master_config: Any, sweep_overrides: list[str]) -> None:
            composed.append(sweep_overrides)

    class Context:
        config_loader = Loader()

    sweeper = BasicSweeper(max_batch_size=None)
    sweeper.config = {}  # type: ignore[assignment]
    sweeper.hydra_context = Context()  # type: ignore[assignment]
    batch: Sequence[Sequence[str]] = [
        [f"pipeline={name}", f"run.seed={seed}", f"protocol.k={k}"]
        for name in ("a", "b")
        for seed in (1, 2, 3)
        for k in (1, 2)
    ]
    sweeper.validate_batch_is_legal(batch)
    assert sorted(composed) == [[f"pipeline={name}", "run.seed=1", "protocol.k=1"] for name in ("a", "b")]
