"""A run or sweep that is given a password finishes, and leaves it nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.override_words import without_secrets
from benchmark.core import provenance
from tests.harness import SMALL_SAT, command, result_of, run

SECRET = "s3cr3t-PW"


@pytest.mark.parametrize(
    "word",
    [
        f"tracking.uri='postgresql+psycopg2://db.example/mlflow?user=me&password={SECRET}'",
        f"tracking.experiment='batch key={SECRET}'",
        f"tracking.experiment='with \"quotes\" token={SECRET}'",
    ],
)
def test_a_setting_that_looks_like_a_credential_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    from benchmark.tracking import Mlflow

    monkeypatch.setattr(Mlflow, "log", lambda *_, **__: "id")
    finished = run(tmp_path, *SMALL_SAT, "pipeline=constant", "tracking=mlflow", word)
    assert finished.result.outcomes["ok"] == 12
    assert SECRET not in (finished.folder / "result.json").read_text()
    assert "***" in str(result_of(tmp_path)["measured"]["settings"]["tracking"])


def test_what_the_machine_does_not_tell_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("no such thing here")

    for function in (provenance.hardware, provenance.git_state):
        function.cache_clear()  # type: ignore[attr-defined]
    monkeypatch.setattr(provenance, "_cpu_name", broken)
    monkeypatch.setattr(provenance, "_git", broken)
    result = run(tmp_path, *SMALL_SAT, "pipeline=constant").result
    assert result.measured.hardware == {} and result.measured.git_commit is None
    for function in (provenance.hardware, provenance.git_state):
        function.cache_clear()  # type: ignore[attr-defined]


def test_a_sweep_leaves_a_password_nowhere(tmp_path: Path) -> None:
    done = command(
        "-m", *SMALL_SAT, "pipeline=constant", "run.seed=0,1", "tracking=mlflow",
        f"tracking.uri=http://me:{SECRET}/x@127.0.0.1:9/", folder=tmp_path,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="2",
    )  # fmt: skip
    assert SECRET not in done.stdout + done.stderr
    assert "***" in done.stdout + done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/result.json"))) == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "multirun.yaml" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_secret_word_becomes_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("BENCH_TRACKING_URI", "")
    words = without_secrets(["pipeline=constant", f"tracking.uri='http://u:{SECRET}@h'", "pipeline.max_tokens=16"])
    assert words == ["pipeline=constant", "tracking.uri=${oc.env:BENCH_TRACKING_URI}", "pipeline.max_tokens=16"]
    assert os.environ["BENCH_TRACKING_URI"] == f"http://u:{SECRET}@h"
