"""Files written whole or not at all, and the leftovers of killed writers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.atomic import remove_leftovers, replacing
from tests.harness import ROOT, SMALL_SAT, run

WRITER = """
import sys, time
from pathlib import Path
from benchmark.core.atomic import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("open", flush=True)
    time.sleep(60)
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "open\n"
    return writer


def kill(writer: subprocess.Popen[str]) -> None:
    writer.kill()
    writer.communicate()


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    with replacing(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    dead, living = start_writer(tmp_path / "deep" / "dead.json"), start_writer(tmp_path / "living.json")
    try:
        kill(dead)
        assert len(list(tmp_path.rglob(".*"))) == 2
        remove_leftovers(tmp_path)
        (left,) = tmp_path.rglob(".*")
        assert left.name.startswith(".living.json.")
    finally:
        kill(living)
    remove_leftovers(tmp_path)
    assert not list(tmp_path.rglob(".*"))


def test_a_thread_of_the_same_process_is_alive_too(tmp_path: Path) -> None:
    with replacing(tmp_path / "answer.json") as file:
        file.write(b"{}")
        remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["answer.json"]


def test_the_next_write_of_a_run_removes_what_a_killed_one_left_in_its_folder(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=constant", "run.gallery=2")
    folder = run(tmp_path, *words).folder
    kill(start_writer(folder / "result.json"))
    assert len(list(folder.glob(".*"))) == 1
    run(tmp_path, *words)
    assert not list(folder.glob(".*"))
    assert {"result.json", "per_image.parquet", "gallery.parquet"} <= {p.name for p in folder.iterdir()}
