"""One run has one digest, however it is tracked, launched or asked for."""

from __future__ import annotations

from pathlib import Path

from benchmark.results.files import read_result
from tests.harness import SMALL_SAT, command, run

SMOOTHING = ("pipeline=reference_difference", "pipeline.smoothing=2")


def test_a_run_has_one_digest_alone_tracked_and_in_a_sweep(tmp_path: Path) -> None:
    alone = run(tmp_path / "a", *SMALL_SAT, *SMOOTHING).result
    tracked = run(tmp_path / "b", *SMALL_SAT, *SMOOTHING, "tracking=mlflow").result
    done = command("-m", *SMALL_SAT, "pipeline=reference_difference", "+sweep=smoothing", folder=tmp_path / "c")
    assert done.returncode == 0, done.stderr
    swept = read_result(tmp_path / "c" / "results" / "runs" / alone.id)
    assert {alone.digest, tracked.digest, swept.digest} == {alone.digest}
    assert alone.deterministic_json() == tracked.deterministic_json() == swept.deterministic_json()
    assert set(alone.choices) == {"dataset", "metric", "pipeline", "protocol"}


def test_a_result_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    finished = run(tmp_path, *SMALL_SAT, "pipeline=constant")
    path = finished.folder / "result.json"
    path.write_text(path.read_text().replace('"choices": {', '"choices": {\n  "tracking": "none",'))
    assert read_result(finished.folder).choices["tracking"] == "none"
