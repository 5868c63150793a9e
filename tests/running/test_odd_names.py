"""Names that are no UTF-8 cost neither the run nor the way back to the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.results.files import read_rows
from tests.data.dataset_trees import mvtec_tree
from tests.harness import command, original, run

RAW = b"caf\xe9"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two categories, one with a name in Latin-1; an image, its mask and a defect type likewise."""
    root = tmp_path / "parts"
    mvtec_tree(root, category="part")
    odd = root / os.fsdecode(RAW)
    mvtec_tree(root, category="other").rename(odd)
    for kind, name, suffix in (
        ("test/good", "000", ""),
        ("test/scratch", "000", ""),
        ("ground_truth/scratch", "000", "_mask"),
    ):
        (odd / kind / f"{name}{suffix}.png").rename(odd / kind / (os.fsdecode(RAW) + f"{suffix}.png"))
    for kind in ("test", "ground_truth"):
        (odd / kind / "scratch").rename(odd / kind / os.fsdecode(b"kratzer\xfc"))
    return root


@pytest.mark.parametrize("pipeline", ["constant", "reference_difference"])
def test_a_run_over_odd_names_ends_and_names_the_files(parts: Path, pipeline: str) -> None:
    finished = run(
        parts.parent, "dataset=folder", f"dataset.path={parts}", f"pipeline={pipeline}", "run.on_error=record"
    )
    assert finished.result.outcomes == {"ok": 8}
    assert finished.result.dataset.categories == ["caf\\udce9", "part"]
    ids = list(read_rows(finished.folder)["id"])
    assert "caf\\udce9/test/good/caf\\udce9.png" in ids
    assert all((parts / original(name)).is_file() for name in ids)


def test_a_sweep_a_split_and_a_report_over_odd_names(parts: Path) -> None:
    words = ("dataset=folder", f"dataset.path={parts}", "pipeline=constant", "dataset.split=holdout20")
    done = command("-m", *words, "run.seed=0,1", folder=parts.parent, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stdout + done.stderr
    done = command("report", f"results_root={parts.parent / 'results'}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr


def test_a_broken_image_with_an_odd_name_is_one_row(parts: Path) -> None:
    odd = parts / os.fsdecode(RAW) / "test" / "good" / os.fsdecode(RAW + b".png")
    odd.write_bytes(odd.read_bytes()[:60])
    words = ("dataset=folder", f"dataset.path={parts}", "pipeline=reference_difference", "run.on_error=record")
    done = command(*words, folder=parts.parent, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    (folder,) = (parts.parent / "results" / "runs").iterdir()
    rows = read_rows(folder).set_index("id")
    assert "caf\\udce9.png" in rows.loc["caf\\udce9/test/good/caf\\udce9.png", "message"]
    done = command(*words[:3], folder=parts.parent, PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and "caf\\udce9.png" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_whose_own_path_is_odd(parts: Path) -> None:
    odd = parts.rename(parts.parent / os.fsdecode(b"d\xe4ten"))
    finished = run(odd.parent, "dataset=folder", f"dataset.path={odd}", "pipeline=constant")
    assert finished.result.measured.settings["dataset.path"] == str(odd.parent / "d\\udce4ten")
