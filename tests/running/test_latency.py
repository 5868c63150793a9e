"""Latency: every image computed anew, what cannot be timed refused, written as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core.provenance import shown_hardware
from tests.harness import SMALL_SAT, places
from tests.tiny_models import FEATURES


def test_a_pipeline_is_timed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pipeline=patchcore", *FEATURES, *SMALL_SAT, *places(tmp_path)]
    assert main(["latency", *words, "out=" + str(tmp_path / "l.json")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Latency" in told and "of those together: patchcore_distances" in told and "waiting for images" in told
    found = json.loads((tmp_path / "l.json").read_text())
    assert f"machine: {shown_hardware(found['hardware'])}; load before: " in told
    assert found["n_single"] + found["n_together"] == 12 - 1 - 3
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"]
    assert found["cold_start_ms"] > 0 and found["together_per_second"] > 0
    times = found["together_stages"]["patchcore_distances"]
    assert set(times) == {"computing", "waiting", "storing"} and min(times.values()) >= 0 < times["computing"]
    assert found["images_at_once"] == {"patchcore_distances": found["n_together"]}
    assert found["peak_memory_mb"] > 0 and found["hardware"]["cores"]


def test_too_few_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pipeline=reference_difference", *SMALL_SAT, *places(tmp_path), "run.limit=4"]
    assert main(["latency", *words]) == 1
    assert "raise run.limit" in capsys.readouterr().err
