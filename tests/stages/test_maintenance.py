"""The command that looks after the store."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.core.errors import ConfigError
from benchmark.core.text import shown_bytes
from benchmark.stages.maintenance import age, size
from benchmark.stages.stage import Stage
from benchmark.stages.store import Store, store_root

DAY = 86400.0


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """Stages ``big`` (5 entries, 1 to 5 days old) and ``small`` (3 entries, new)."""
    store = Store(store_root(tmp_path))
    rng = np.random.default_rng(0)
    for name, count, length in (("big", 5, 4000), ("small", 3, 10)):
        stage = Stage(name=name, version=1, settings={"k": 1}, compute=lambda inputs: [])
        store.note(name, stage.fingerprint, stage.facts)
        for i in range(count):
            path = store.path(name, stage.key(str(i)))
            store.put(name, stage.key(str(i)), {"x": rng.integers(0, 255, length, dtype=np.uint8)})
            if name == "big":
                used = time.time() - (i + 1) * DAY + 60
                os.utime(path, (used, used))
    return store


def run(store: Store, *words: str) -> int:
    return main(["cache", "--root", str(store.root.parent), *words])


def left(store: Store) -> dict[str, int]:
    return {name: sum(1 for _ in store.entries(name)) for name in store.stages()}


@pytest.mark.parametrize(("text", "value"), [("10G", 10**10), ("1.5k", 1500), ("7", 7), ("2 MB", 2 * 10**6)])
def test_sizes_are_read(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(("text", "value"), [("30d", 30 * DAY), ("12h", DAY / 2), ("90m", 5400), ("2w", 14 * DAY)])
def test_ages_are_read(text: str, value: float) -> None:
    assert age(text) == value


@pytest.mark.parametrize("text", ["", "d", "10", "ten d", "-1d"])
def test_wrong_ages_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="30d"):
        age(text)


def test_sizes_are_shown_for_people() -> None:
    assert [shown_bytes(n) for n in (0, 999, 1000, 1.5e9, 2e12)] == ["0 B", "999 B", "1.0 kB", "1.5 GB", "2.00 TB"]


def test_sizes(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(filled) == 0
    text = capsys.readouterr().out
    assert "big" in text
    assert "small" in text
    total = shown_bytes(sum(entry.size for entry in filled.entries()))
    assert total in text


def test_sizes_of_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--root", str(tmp_path / "none")]) == 0
    assert "nothing is stored" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_prune_by_age(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(filled, "prune", "--older", "3d", "--dry-run") == 0
    assert "2 files" in capsys.readouterr().out
    assert left(filled) == {"big": 5, "small": 3}
    assert run(filled, "prune", "--older", "3d") == 0
    assert left(filled) == {"big": 3, "small": 3}


def test_prune_by_size_takes_the_oldest_first(filled: Store) -> None:
    entries = sorted(filled.entries(), key=lambda entry: entry.used)
    limit = sum(entry.size for entry in entries[2:])
    assert run(filled, "prune", "--max-size", str(limit)) == 0
    assert {entry.path for entry in filled.entries()} == {entry.path for entry in entries[2:]}


def test_prune_by_stage_removes_its_descriptions_too(filled: Store) -> None:
    assert run(filled, "prune", "--stage", "big") == 0
    assert left(filled) == {"small": 3}
    assert not (filled.root / "big").exists()


def test_prune_without_condition_sweeps_only_leftovers(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(filled.entries("big")).path.parent
    dead = folder / f".{'a' * 16}.77.{'b' * 16}.tmp"
    other = folder / "notes.tmp"
    for path in (dead, other):
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    assert run(filled, "prune") == 0
    assert "--older" in capsys.readouterr().out
    assert not dead.exists()
    assert other.exists()
    assert left(filled) == {"big": 5, "small": 3}


def test_an_unknown_stage_lists_near_ones(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(filled, "prune", "--stage", "bigg") == 1
    assert "did you mean 'big'" in capsys.readouterr().err
    assert left(filled) == {"big": 5, "small": 3}


def test_verify_removes_what_is_damaged(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(filled, "verify") == 0
    assert "8 entries read, 0 damaged" in capsys.readouterr().out
    path = sorted(entry.path for entry in filled.entries("big"))[0]
    path.write_bytes(path.read_bytes()[:-3])
    assert run(filled, "verify", "--dry-run") == 0
    assert str(path) in capsys.readouterr().out
    assert path.exists()
    assert run(filled, "verify", "--stage", "big") == 0
    assert not path.exists()
    assert left(filled) == {"big": 4, "small": 3}


def test_explain_lists_what_changed_between_stored_settings(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(name="big", version=1, settings={"k": 2}, compute=lambda inputs: [])
    filled.note("big", stage.fingerprint, stage.facts)
    for path in (filled.root / "big").glob("*.json"):
        if path.stem != stage.fingerprint:
            os.utime(path, (1, 1))
    assert run(filled, "explain", "--stage", "big") == 0
    text = capsys.readouterr().out
    assert "big: 2 fingerprints" in text
    assert "setting 'k': 1 -> 2" in text
