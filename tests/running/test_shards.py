"""Four shards, whoever starts them, give the result of one process, byte for byte in its deterministic part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ROOT, command, run

RUN = (
    f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]",
    *("dataset=sat", "dataset.size=64", "dataset.n_train=4", "dataset.n_good=9", "dataset.n_defective=9"),
    *("pipeline=slow_regions", "pipeline.seconds=0.02"),
)
SHARDS = "run.shard=1/4,2/4,3/4,4/4"


def facts(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the deterministic part of the only result below ``folder``, and its table's bytes."""
    (path,) = (folder / "results" / "runs").glob("*/result.json")
    result = json.loads(path.read_text())
    del result["measured"]
    return result, (path.parent / "per_image.parquet").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *RUN)
    return facts(folder)


def test_shards_one_after_the_other(whole: tuple[dict[str, Any], bytes], tmp_path: Path) -> None:
    for i in (3, 1, 4):
        assert run(tmp_path, *RUN, f"run.shard={i}/4") is None
        assert not list((tmp_path / "results" / "runs").glob("*/result.json"))
    finished = run(tmp_path, *RUN, "run.shard=2/4")
    assert finished is not None
    assert finished.result.measured.samples_computed["slow"] <= 5
    assert facts(tmp_path) == whole


def test_shards_that_write_everything_anew(whole: tuple[dict[str, Any], bytes], tmp_path: Path) -> None:
    run(tmp_path, *RUN)
    for i in (1, 2, 3, 4):
        run(tmp_path, *RUN, f"run.shard={i}/4", "run.overwrite=always")
    assert facts(tmp_path) == whole


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("basic", marks=pytest.mark.slow),
        "local_jobs",
        pytest.param("local_submitit", marks=pytest.mark.slow),
    ],
)
def test_shards_through_a_launcher(whole: tuple[dict[str, Any], bytes], tmp_path: Path, launcher: str) -> None:
    done = command(*RUN, SHARDS, f"hydra/launcher={launcher}", "-m", folder=tmp_path, cold=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(tmp_path) == whole
