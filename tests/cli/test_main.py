"""The command line: help, misspelt words, bad input, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, SMALL_SAT, command

LIGHT = """
import sys
sys.argv = ["benchmark", *{words!r}]
from benchmark.cli.main import main
try:
    code = main(sys.argv[1:] if {direct} else ["run", *sys.argv[1:]])
except SystemExit as ended:
    code = ended.code
loaded = [m for m in ("torch", "transformers", "mlflow", "pandas", "cv2", "sklearn") if m in sys.modules]
print("CODE", code or 0, "LOADED", loaded)
"""


def light(*words: str, direct: bool = False) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words, direct=direct)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()[-1], done.stdout + done.stderr


def test_help_loads_nothing_heavy_and_names_the_groups() -> None:
    last, text = light("--help")
    assert last == "CODE 0 LOADED []"
    for word in ("dataset", "reference_difference", "constant", "run:", "make bench"):
        assert word in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pipeline=refrence_difference"], ["pipeline=refrence_difference", "'reference_difference'"]),
        (
            ["pipeline=reference_difference", "pipeline.tresholds=1"],
            ["unknown key 'pipeline.tresholds'", "'threshold'"],
        ),
        (["pipelin=constant"], ["'pipelin'", "'pipeline'"]),
        (["run.sed=1"], ["unknown key 'run.sed'", "'seed'"]),
        (["run.seed=one"], ["run.seed", "a whole number of 0 or more", "'one'"]),
        (["dataset=mtd", "dataset.label_frm=mask"], ["'dataset.label_frm'", "'label_from'"]),
        (["run.objective=apx"], ["run.objective=apx", "'ap'"]),
        (["pipeline.smoothing=0,1"], ["pipeline.smoothing=0,1: several values make a sweep", "-m", "[0,1]"]),
    ],
)
def test_a_misspelt_word_is_named_with_near_matches_before_anything_loads(words: list[str], said: list[str]) -> None:
    last, text = light(*words)
    assert last == "CODE 1 LOADED []"
    for part in said:
        assert part in text
    assert "Traceback" not in text


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_is_asked_for_anywhere_among_the_overrides(tmp_path: Path, flag: str) -> None:
    done = command(*SMALL_SAT, "pipeline=constant", flag, "run.seed=0,1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/result.json"))) == 2


def test_missing_data_root_names_the_folder_and_the_fix(tmp_path: Path) -> None:
    done = command("dataset=mtd", "pipeline=constant", folder=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "data") in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "results" / "runs").iterdir())


def test_unwritable_results_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file stands where the folder should be")
    done = command(*SMALL_SAT, "pipeline=constant", folder=tmp_path)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "run.results_root=…" in done.stderr
    assert not (tmp_path / "cache").exists() and not (tmp_path / "data").exists()


@pytest.mark.slow
def test_unreachable_tracking_server_keeps_the_result_and_says_how_to_log_it(tmp_path: Path) -> None:
    done = command(
        *SMALL_SAT, "pipeline=constant", "tracking=mlflow", "tracking.uri=http://user:geheim@127.0.0.1:9/",
        folder=tmp_path, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="2",
    )  # fmt: skip
    assert done.returncode == 1
    (result,) = (tmp_path / "results" / "runs").glob("*/result.json")
    assert f"python -m benchmark track {result.parent}" in done.stderr
    assert "geheim" not in done.stdout + done.stderr + result.read_text()
    logged = subprocess.run(
        [sys.executable, "-m", "benchmark", "track", str(result.parent)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert logged.returncode == 0, logged.stderr
    assert "MLflow run" in logged.stdout
