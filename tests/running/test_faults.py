"""A run that is killed at any moment goes on where it stopped and ends with the result of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.forked import server
from tests.harness import ROOT, places, run

IMAGES = 24
FEW, MANY = 3, 30
RUN = (
    f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]",
    *("dataset=sat", "dataset.size=64", "dataset.n_train=4", f"dataset.n_good={IMAGES // 2}"),
    *(f"dataset.n_defective={IMAGES // 2}", "pipeline=slow_regions", "pipeline.seconds=0.01"),
)


def carry_out(folder: Path, name: str, *overrides: str) -> None:
    """One run below ``folder / name``; what a killed process does."""
    (folder / name).mkdir(exist_ok=True)
    log = f"pipeline.log={folder / name / 'executed'}"
    run(folder / name, *RUN, log, f"run.data_root={folder / 'data'}", *overrides)


def facts(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the deterministic part of the only result below ``folder``, and its table's bytes."""
    (path,) = (folder / "results" / "runs").glob("*/result.json")
    result = json.loads(path.read_text())
    del result["measured"]
    return result, (path.parent / "per_image.parquet").read_bytes()


def files(folder: Path) -> list[str]:
    """Return the names of a run's files; what a killed process wrote under a temporary name begins with a dot."""
    (run_folder,) = (folder / "results" / "runs").glob("*")
    return sorted(path.name for path in run_folder.iterdir() if not path.name.startswith("."))


def executed(folder: Path) -> Counter[str]:
    path = folder / "executed"
    return Counter(path.read_text().split()) if path.exists() else Counter()


class Undisturbed:
    """A run that nothing disturbed: how long it takes in a forked process, and what it gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start("first").join()  # starts the server that forks, and generates the data
        start = time.perf_counter()
        process = self.start("calm")
        process.join()
        assert process.exitcode == 0
        self.seconds = time.perf_counter() - start
        self.facts = facts(folder / "calm")
        assert facts(folder / "first") == self.facts
        assert executed(folder / "calm").total() == IMAGES

    def start(self, name: str) -> Any:
        """Start the run in a process of its own that has everything imported already."""
        process = server().Process(target=carry_out, args=(self.folder, name))
        process.start()
        return process


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("faults"))


def kill_and_resume(calm: Undisturbed, name: str, moment: float) -> int:
    """Kill a run after ``moment`` seconds, let it go on, compare; return how many images were stored at the kill."""
    folder = calm.folder / name
    process = calm.start(name)
    time.sleep(moment)
    process.kill()
    process.join()
    stored = sum(1 for _ in (folder / "cache" / "stages" / "slow").rglob("*.zst"))
    carry_out(calm.folder, name)
    assert facts(folder) == calm.facts
    often = executed(folder)
    assert len(often) == IMAGES
    assert often.total() <= IMAGES + 1  # one image was in flight
    (path,) = (folder / "results" / "runs").glob("*/result.json")
    measured = json.loads(path.read_text())["measured"]
    assert measured["samples_reused"]["slow"] == stored
    assert measured["samples_computed"]["slow"] == IMAGES - stored
    assert files(folder) == files(calm.folder / "calm")
    return stored


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_with_the_same_result(calm: Undisturbed, kills: int) -> None:
    rng = random.Random(kills)
    # A third of the kills fall into the last fifth, where the result is computed and written.
    ends = [calm.seconds * (rng.random() if i % 3 else rng.uniform(0.8, 1.0)) for i in range(kills)]
    stored = [kill_and_resume(calm, f"killed-{kills}-{i}", moment) for i, moment in enumerate(ends)]
    if kills == MANY:
        assert len(set(stored)) > 3


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends(calm: Undisturbed) -> None:
    rng = random.Random(3)
    for kills in range(20):  # noqa: B007 - counts the kills that it took
        process = calm.start("often")
        process.join(rng.uniform(0.2, 0.6) * calm.seconds)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
    carry_out(calm.folder, "often")
    assert facts(calm.folder / "often") == calm.facts
    assert executed(calm.folder / "often").total() <= IMAGES + kills + 1


def test_a_damaged_store_gives_the_same_result(calm: Undisturbed) -> None:
    carry_out(calm.folder, "damaged")
    folder = calm.folder / "damaged"
    rng = random.Random(4)
    paths = sorted((folder / "cache" / "stages").rglob("*.zst"))
    hurt = rng.sample(paths, max(4, len(paths) // 20))
    for i, path in enumerate(hurt):
        data = bytearray(path.read_bytes())
        if i % 2:
            data[rng.randrange(16, len(data) - 8)] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(data)
    carry_out(calm.folder, "damaged")
    assert facts(folder) == calm.facts
    assert executed(folder).total() == IMAGES + sum("/slow/" in path.as_posix() for path in hurt)


def test_four_processes_at_once_give_the_same_result(calm: Undisturbed) -> None:
    processes = [calm.start("four") for _ in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert facts(calm.folder / "four") == calm.facts
    carry_out(calm.folder, "four")
    assert facts(calm.folder / "four") == calm.facts
    assert len(list((calm.folder / "four" / "cache" / "stages" / "slow").rglob("*.zst"))) == IMAGES


def test_settings_that_do_not_change_the_result_compute_nothing(calm: Undisturbed) -> None:
    for i, word in enumerate(["pipeline.batch_size=7", "run.workers=0", "run.device=cpu"]):
        carry_out(calm.folder, "settings", word)
        assert executed(calm.folder / "settings").total() == IMAGES, f"{i} {word}"
    carry_out(calm.folder, "settings", "pipeline.count=9")
    assert executed(calm.folder / "settings").total() == 2 * IMAGES


def test_ctrl_c_says_that_the_same_command_goes_on(calm: Undisturbed) -> None:
    folder = calm.folder / "interrupted"
    folder.mkdir()
    words = [*places(folder), *RUN, f"run.data_root={calm.folder / 'data'}", f"pipeline.log={folder / 'executed'}"]
    # A shell's background job ignores Ctrl-C, and so would a process that such a test run starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *words, "pipeline.seconds=0.2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while executed(folder).total() < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where it stopped" in errors
    assert "Traceback" not in errors
    carry_out(calm.folder, "interrupted")
    assert executed(folder).total() <= IMAGES + 1
    assert facts(folder)[1] == calm.facts[1]
