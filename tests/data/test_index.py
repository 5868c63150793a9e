"""The index reads a file once, and again only when it changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.data import index as module
from benchmark.data.index import FileRole, file_facts
from tests.data.dataset_trees import dataset, mvtec_tree, save


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, FileRole]:
    for i in range(4):
        save(tmp_path / f"{i}.png", np.full((2, 3 + i), i, np.uint8))
    save(tmp_path / "mask.png", np.array([[0, 7]], np.uint8))
    for path in tmp_path.iterdir():
        age(path)
    return {**{f"{i}.png": "image" for i in range(4)}, "mask.png": "grey"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are really read."""
    names: list[str] = []
    read = module._read

    def counting(root: Path, name: str, role: FileRole) -> list:
        names.append(name)
        return read(root, name, role)

    monkeypatch.setattr(module, "_read", counting)
    return names


def age(path: Path, seconds: float = 60.0) -> None:
    """Make a file look as if it was written some time ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_facts(tree: dict[str, FileRole], tmp_path: Path) -> None:
    facts = file_facts(tmp_path, tree)
    assert list(facts) == list(tree)
    assert (facts["2.png"].width, facts["2.png"].height, facts["2.png"].peak) == (5, 2, None)
    assert facts["mask.png"].peak == 7
    assert len({f.sha256 for f in facts.values()}) == 5


def test_a_second_index_reads_nothing(tree: dict[str, FileRole], tmp_path: Path, reads: list[str]) -> None:
    first = file_facts(tmp_path, tree)
    assert sorted(reads) == sorted(tree)
    reads.clear()
    assert file_facts(tmp_path, tree) == first
    assert reads == []


@pytest.mark.parametrize("change", ["content", "time", "another file in its place"])
def test_a_changed_file_is_read_again(change: str, tree: dict[str, FileRole], tmp_path: Path, reads: list[str]) -> None:
    file_facts(tmp_path, tree)
    reads.clear()
    path = tmp_path / "1.png"
    before = path.stat()
    if change == "content":
        save(path, np.full((2, 30), 9, np.uint8))
    elif change == "time":
        age(path, 30)
    else:
        other = save(tmp_path / "other" / "x.png", np.full((2, 4), 1, np.uint8))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    facts = file_facts(tmp_path, tree)
    assert reads == ["1.png"]
    assert facts["1.png"].width == (30 if change == "content" else 4)


def test_a_file_changed_within_one_tick_of_the_clock_is_not_trusted(
    tree: dict[str, FileRole], tmp_path: Path, reads: list[str]
) -> None:
    save(tmp_path / "3.png", np.full((2, 6), 3, np.uint8))
    file_facts(tmp_path, tree)
    reads.clear()
    file_facts(tmp_path, tree)
    assert reads == ["3.png"]


def test_a_file_in_another_role_is_read_again(tree: dict[str, FileRole], tmp_path: Path, reads: list[str]) -> None:
    file_facts(tmp_path, tree)
    reads.clear()
    assert file_facts(tmp_path, {**tree, "mask.png": "class_ids"})["mask.png"].peak == 7
    assert reads == ["mask.png"]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "[" * 100_000, '{"format": 0, "rows": {}}', '{"format": 2, "rows": {"0.png": [1]}}']
)
def test_a_damaged_index_is_built_again(
    damage: str, tree: dict[str, FileRole], tmp_path: Path, reads: list[str], _own_cache: Path
) -> None:
    facts = file_facts(tmp_path, tree)
    (stored,) = (_own_cache / "index").iterdir()
    stored.write_text(damage)
    reads.clear()
    assert file_facts(tmp_path, tree) == facts
    assert len(reads) == 5
    assert json.loads(stored.read_text())["format"] == 5


def test_an_unwritable_cache_costs_only_time(
    tree: dict[str, FileRole], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    facts = file_facts(tmp_path, tree, cache=blocked)
    assert len(facts) == 5
    assert "the next run reads all files again" in caplog.text


def test_what_was_read_before_an_error_is_kept(
    tree: dict[str, FileRole], tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 1)
    (tmp_path / "3.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"3\.png: not an image"):
        file_facts(tmp_path, tree)
    reads.clear()
    save(tmp_path / "3.png", np.full((2, 6), 3, np.uint8))
    file_facts(tmp_path, tree)
    assert sorted(reads) == ["3.png", "mask.png"]


def test_labels_and_counts_follow_a_changed_tree(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path / "mine")
    settings = dataset("folder", path=str(tmp_path / "mine"))
    before = settings.manifest(tmp_path)
    save(folder / "test" / "good" / "777.png", np.zeros((6, 8), np.uint8))
    added = settings.manifest(tmp_path)
    assert len(added.test) == len(before.test) + 1
    (folder / "test" / "good" / "777.png").unlink()
    assert settings.manifest(tmp_path).fingerprint == before.fingerprint
    save(folder / "test" / "good" / "000.png", np.zeros((6, 8), np.uint8))
    assert settings.manifest(tmp_path).fingerprint != before.fingerprint


def test_the_dataset_tree_is_not_written_to(tmp_path: Path) -> None:
    mvtec_tree(tmp_path / "mine")
    before = sorted(p for p in tmp_path.rglob("*"))
    dataset("folder", path=str(tmp_path / "mine")).manifest(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*")) == before
