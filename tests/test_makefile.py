"""The front door refuses what it would not read."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from tests.harness import ROOT

TARGETS = re.compile(r"^([a-z-]+):.*##", re.MULTILINE)
RECIPES = re.compile(r"^([a-z-]+):.*##.*\n((?:\t.*\n)+)", re.MULTILINE)


def reads_all(text: str) -> set[str]:
    """Return the names that are of a target or another."""
    return set(re.findall(r"^([A-Z]+) \?=", text, re.MULTILINE)) - {"PYTHON", "INSTALLER"}


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Say what make would do, without doing it."""
    command = ["make", "-n", *words]
    return subprocess.run(command, cwd=ROOT, env=alone(), capture_output=True, text=True, check=False)


def alone() -> dict[str, str]:
    """The environment without that of a make which runs the tests."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit", "RUNS=x"], "make submit does not read RUNS=…; it reads ARGS RUN."),
        (["export", "RUNS=x"], "make export does not read RUNS=…"),
        (["rows", "RUN=x"], "make rows does not read RUN=…; it reads ARGS RUNS."),
        (["tables", "DATASET=mtd"], "make tables does not read DATASET=…; it reads no variable."),
    ],
)
def test_a_name_that_the_target_does_not_read_is_refused(words: list[str], said: str) -> None:
    done = make(*words)
    assert done.returncode == 2 and said in done.stderr


def test_what_a_target_is_said_to_read_is_what_it_uses() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = "\n".join(f"$(info {target} $(sort $(READS_{target})))" for target in TARGETS.findall(text))
    told = subprocess.run(
        ["make", "-f", "Makefile", "-f", "-", "help"],
        cwd=ROOT, env=alone(), input=asked, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    reads = {line.split()[0]: set(line.split()[1:]) for line in told.splitlines() if not line.startswith(" ")}
    assert reads["submit"] == {"RUN", "ARGS"}
    for target, recipe in RECIPES.findall(text):
        used = set(re.findall(r"\$\((?:if |call quoted,\w+=\$\()?([A-Z]+)\b", recipe)) & reads_all(text)
        if "$(CHOICES)" in recipe:
            used |= {"EXPERIMENT", "DATASET", "PIPELINE", "PROTOCOL", "METRIC"}
        assert used == reads.get(target, set()), target


@pytest.mark.parametrize("folder", ["/tmp/o'brien", "two words"])
def test_a_folder_may_have_any_name(folder: str) -> None:
    done = make("predict", f"IN={folder}", f"OUT={folder}")
    line = done.stdout.splitlines()[-1]
    assert shlex.split(line)[-2:] == [f"in={folder}", f"out={folder}"]
