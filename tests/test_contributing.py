"""CONTRIBUTING.md to the letter: each worked example in a copy of the repository, files written and commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import ROOT

STEP = re.compile(r"(?P<said>[^`\n][^\n]*\n\n)?```(?P<language>\w+)\n(?P<block>.*?)\n```", re.DOTALL)
PLACE = re.compile(
    r"(?:Write|In) `(?P<path>[^`]+)`"
    r"(?:, (?P<where>at the end|below `(?P<below>[^`]+)`|in place of `(?P<old>[^`]+)`))?:\n\n$"
)


@dataclass(frozen=True)
class Step:
    """One block of code: commands, or what to do with a file."""

    block: str
    path: str | None
    below: str | None = None
    old: str | None = None
    append: bool = False


def examples() -> dict[str, list[Step]]:
    """Read the steps of every heading; raises where a block does not say which file it belongs to."""
    found: dict[str, list[Step]] = {}
    for section in (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        steps = found.setdefault(heading, [])
        for match in STEP.finditer(text):
            if match["language"] == "sh":
                steps.append(Step(match["block"], None))
                continue
            place = PLACE.search(match["said"] or "")
            assert place, f"{heading}: which file is this?\n{match['block']}"
            append = place["where"] == "at the end"
            steps.append(Step(match["block"] + "\n", place["path"], place["below"], place["old"], append))
    return found


def follow(step: Step, clone: Path) -> None:
    """Do what one step says."""
    if step.path is None:
        home = {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        passed = {
            k: v for k, v in os.environ.items() if not k.startswith(("BENCH_", "DATA_ROOT", "RESULTS_ROOT", "MAKE"))
        }
        done = subprocess.run(
            ["bash", "-euc", step.block], cwd=clone, env={**passed, **home}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{step.block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return
    path = clone / step.path
    if step.append:
        path.write_text(path.read_text() + "\n\n" + step.block)
    elif step.below or step.old:
        before = path.read_text().splitlines(keepends=True)
        anchor = step.below or step.old or ""
        (at,) = [i for i, line in enumerate(before) if anchor in line]
        if step.below:
            before.insert(at + 1, step.block)
        else:
            before[at] = before[at].replace(anchor, step.block.rstrip("\n"))
        path.write_text("".join(before))
    else:
        assert not path.exists(), f"{step.path} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.block)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated dataset, made once: the first command of an example would make the same."""
    from benchmark.running.run import execute
    from tests.harness import build, compose

    folder = tmp_path_factory.mktemp("images")
    named = [
        f"run.data_root={folder}",
        f"run.results_root={folder / 'r'}",
        f"run.cache_root={folder / 'c'}",
        "tracking=none",
    ]
    composed, choices = compose(*named, "pipeline=constant")
    execute(build(composed, choices), composed, command=["test"])
    return folder / "sat"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone with a finished ``make setup`` would be, uncommitted changes included."""
    folder = tmp_path / "clone"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for file in filter(lambda file: file and (ROOT / file).is_file(), files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / file)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for settled in (
        "requirements.lock",
        "pyproject.toml",
    ):  # older than .venv/.ready: make leaves the environment alone
        os.utime(folder / settled, (0, 0))
    return folder


@pytest.mark.parametrize("name", examples())
def test_the_places_that_an_example_names_are_there(name: str, clone: Path) -> None:
    steps = [step for step in examples()[name] if step.path is not None]
    assert steps
    for step in steps:
        follow(step, clone)


@pytest.mark.timeout(900)
@pytest.mark.slow  # each starts programs; all of them take minutes
@pytest.mark.parametrize("name", examples())
def test_an_example_can_be_followed_to_the_letter(name: str, clone: Path, images: Path) -> None:
    shutil.copytree(images, clone / "datasets" / "sat", dirs_exist_ok=True)
    for step in examples()[name]:
        follow(step, clone)
