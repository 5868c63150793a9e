"""Finished runs at an address: whole or not there, and read by the report and by comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from benchmark.cli.main import main
from benchmark.core.errors import ResultsError
from benchmark.fetching.remote import Remote
from benchmark.results.at_address import copied
from tests.harness import SMALL_SAT, run

ADDRESS = "memory://results/line-4"


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    MemoryFileSystem.store.clear()
    yield
    MemoryFileSystem.store.clear()


def test_a_run_is_put_with_its_result_last_and_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    write = Remote.write

    def noted(self: Remote, name: str, data: bytes) -> None:
        order.append(name)
        write(self, name, data)

    monkeypatch.setattr(Remote, "write", noted)
    words = ("pipeline=constant", "metric=labels", f"run.results_copy={ADDRESS}")
    folder = run(tmp_path, *SMALL_SAT, *words).folder
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert order[-1] == f"runs/{folder.name}/result.json"
    tried, *order = order
    assert tried.endswith(".tmp") and not MemoryFileSystem.store.keys() & {f"/results/line-4/{tried}"}
    assert {name.removeprefix(f"runs/{folder.name}/") for name in order} == files
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["rows", folder.name, "--results-root", ADDRESS, "--out", str(tmp_path / "rows.csv")]) == 0
    assert "12 images" in capsys.readouterr().out
    monkeypatch.setenv("RESULTS_ROOT", ADDRESS)
    assert main(["export", folder.name, "form=csv"]) == 0
    assert main(["rows", folder.name]) == 0
    written = {path.as_posix() for path in Path("results").rglob("*") if path.is_file()}
    assert written == {f"results/exports/{folder.name}.csv", f"results/exports/{folder.name}/per_image.csv"}
    assert main(["compare", folder.name, "nothing"]) == 1
    assert "no run 'nothing'" in capsys.readouterr().err


def test_only_what_changed_is_read_again_and_what_is_gone_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("memory")
    for name, content in {"a": b"1", "b": b"22"}.items():
        files.pipe_file(f"{ADDRESS}/runs/{name}/result.json", content)
    files.pipe_file(f"{ADDRESS}/runs/../../escaped", b"x")
    folder = copied(ADDRESS)
    asked: list[str] = []
    read_all = Remote.read_all

    def noted(self: Remote, names: object) -> dict[str, bytes]:
        asked.extend(names)  # type: ignore[call-overload]
        return read_all(self, names)  # type: ignore[arg-type]

    monkeypatch.setattr(Remote, "read_all", noted)
    assert copied(ADDRESS) == folder
    assert asked == []
    files.pipe_file(f"{ADDRESS}/runs/b/result.json", b"33")
    files.rm_file(f"{ADDRESS}/runs/a/result.json")
    copied(ADDRESS)
    assert asked == ["runs/b/result.json"]
    held = [Path(place, name) for place, _, names in os.walk(tmp_path) for name in names]
    assert [path.relative_to(folder).as_posix() for path in held] == ["runs/b/result.json"]
    assert held[0].read_bytes() == b"33"


def test_an_address_without_runs_is_told() -> None:
    with pytest.raises(ResultsError, match=r"run\.results_copy="):
        copied(ADDRESS)
