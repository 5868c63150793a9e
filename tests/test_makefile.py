"""The front door refuses what it would not read."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness import ROOT


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Say what make would do, without doing it."""
    return subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("word", ["DATSET=folder", "ARG=run.limit=3", "pipeline=constant", "pipeline.top_k=5"])
def test_a_name_that_nothing_reads_is_refused(word: str) -> None:
    done = make("bench", word)
    assert done.returncode == 2
    assert f"{word.partition('=')[0]}=… means nothing to make" in done.stderr
    assert "PIPELINE" in done.stderr and "ARGS" in done.stderr


def test_known_names_and_the_environments_pass() -> None:
    done = make("bench", "DATASET=mtd", "RESULTS_ROOT=r", "OMP_NUM_THREADS=1", "ARGS=run.limit=3")
    assert done.returncode == 0, done.stderr
    assert "dataset=mtd pipeline=patchcore" in done.stdout and "run.limit=3" in done.stdout
