"""Attacks on the results folder: what is damaged is named and left out, and the rest is shown."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli.main import main
from tests.harness import SMALL_SAT, run

FILES = ("result.json", "per_image.parquet", "details.safetensors", "gallery.parquet")


def _foreign(path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"x": [1, 2]}).to_parquet(path.with_name("foreign"))
    path.with_name("foreign").replace(path)


def _folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello"),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a folder": _folder,
    "a link to nowhere": lambda path: path.unlink() or path.symlink_to("nowhere"),  # type: ignore[func-returns-value]
    "a table of something else": _foreign,
}


QUICK = ("half", "a folder")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two runs."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("reference_difference", "constant"):
        run(folder, *SMALL_SAT, f"pipeline={name}", "run.gallery=4")
    return folder / "results"


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


def _victim(results: Path) -> Path:
    (folder,) = (results / "runs").glob("*reference_difference*")
    return folder


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGES]
)
def test_a_damaged_file_of_one_run_does_not_end_the_report(
    file: str, kind: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _victim(results) / file
    DAMAGES[kind](path)
    assert main(["report", "--results-root", str(results)]) == 0
    if path.exists():  # a link to nowhere is no file: the run has no such part
        assert f"left out: {path}" in capsys.readouterr().err
    page = (results / "report.html").read_text()
    assert "constant" in page
    assert main(["report", "--results-root", str(results)]) == 0


@pytest.mark.slow
def test_flipped_bits_do_not_end_the_report(results: Path) -> None:
    rng, tried = random.Random(19), 0
    for file in FILES:
        path = _victim(results) / file
        content = path.read_bytes()
        for _ in range(6):
            changed = bytearray(content)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            assert main(["report", "--results-root", str(results)]) == 0
            tried += 1
        path.write_bytes(content)
    assert tried == 24


@pytest.mark.parametrize("kind", ["empty", "text", "a folder"])
@pytest.mark.parametrize("file", ["papers/a.csv", "sweeps/s/points.parquet", "sweeps/s/command.json"])
def test_a_damaged_table_or_sweep_does_not_end_the_report(
    file: str, kind: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    (results / "sweeps" / "s").mkdir(parents=True)
    (results / "papers").mkdir()
    table = pd.DataFrame({"run": ["x"], "best": [True], "status": ["ok"], "number": [0]})
    table.to_parquet(results / "sweeps" / "s" / "points.parquet")
    (results / "sweeps" / "s" / "command.json").write_text("[]")
    (results / "papers" / "a.csv").write_text("row,ours\n")
    DAMAGES[kind](results / file)
    assert main(["report", "--results-root", str(results)]) == 0
    if kind != "empty" or "csv" not in file:
        assert "left out: " in capsys.readouterr().err


@pytest.mark.parametrize("file", ["result.json", "per_image.parquet", "details.safetensors"])
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGES]
)
def test_comparing_a_damaged_run_is_one_line_that_names_it(
    file: str, kind: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(_victim(results), results / "runs" / "copy")
    DAMAGES[kind](_victim(results) / file)
    status = main(["compare", str(_victim(results)), str(other), f"results_root={results}"])
    said = capsys.readouterr().err
    if status:
        assert said.startswith("error: ") and (_victim(results).name in said) and "Traceback" not in said
    assert status in (0, 1)


def test_results_with_odd_values_are_shown_or_named(results: Path) -> None:
    path = _victim(results) / "result.json"
    content = json.loads(path.read_text())
    content["dataset"]["n_samples_effective"] = 0
    path.write_text(json.dumps(content))
    assert main(["report", "--results-root", str(results)]) == 0
