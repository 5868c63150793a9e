"""What a paper's cells want is composed once, and again when something changes that decides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import ConfigError
from benchmark.report.papers import availability

LINES = [("dataset=mtd",), ("dataset=mtd", "dataset.holdout=nonsense=3"), ("dataset=mtdd",)]


def test_lines_are_composed_again_only_when_the_environment_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    asked, before = [], availability.compose_each
    monkeypatch.setattr(availability, "compose_each", lambda *told: asked.append(told) or before(*told))
    first = availability._composed("dataset", LINES)
    again = availability._composed("dataset", LINES)
    assert len(asked) == 1
    for one, other, alone in zip(first, again, before("dataset", LINES), strict=True):
        assert str(one) == str(other) == str(alone) and type(one) is type(other) is type(alone)
    assert isinstance(first[2], ConfigError) and not isinstance(first[0], ConfigError)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "elsewhere"))
    moved = availability._composed("dataset", LINES[:1])[0]
    assert not isinstance(moved, ConfigError) and moved[0]["run"]["data_root"] == str(tmp_path / "elsewhere")


def test_what_rests_on_files_of_the_user_is_always_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(availability, "compose_each", lambda *told: asked.append(told) or [])
    for _ in range(2):
        availability._composed("dataset", [("dataset=mtd", "hydra.searchpath=[file:///x]")])
    assert len(asked) == 2 and not (tmp_path / "cache").exists()
