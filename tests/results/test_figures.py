"""Figures of a run for the tracking server."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.results.figures import run_figures
from benchmark.results.gallery import GALLERY, SIDE
from tests.harness import SMALL_SAT, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("figures"), *SMALL_SAT, "pipeline=reference_difference").folder


def test_a_run_has_curves_and_a_sheet_of_overlays(folder: Path, tmp_path: Path) -> None:
    import cv2

    assert [p.name for p in run_figures(folder, tmp_path)] == ["precision_recall.png", "overlays.png"]
    height, width, _ = cv2.imread(str(tmp_path / "overlays.png")).shape
    assert (height, width) == (12 * (SIDE + 18), 4 * SIDE)
    assert cv2.imread(str(tmp_path / "overlays.png")).max() > 100


def test_a_run_without_thumbnails_has_no_figures(folder: Path, tmp_path: Path) -> None:
    bare = run(tmp_path, *SMALL_SAT, "pipeline=reference_difference", "run.gallery=0").folder
    assert not (bare / GALLERY).exists()
    assert run_figures(bare, tmp_path) == []


def test_mlflow_shows_them_and_the_run_times(folder: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from benchmark.results.files import read_result
    from benchmark.tracking import Mlflow

    tracker = Mlflow(uri=None, experiment="figures")
    logged = tracker.log(folder, results_root=tmp_path)
    assert logged is not None
    client = MlflowClient(tracking_uri=tracker.address(tmp_path))
    names = {a.path for a in client.list_artifacts(logged, "figures")}
    assert names == {"figures/precision_recall.png", "figures/overlays.png"}
    info = client.get_run(logged).info
    assert info.end_time - info.start_time == int(read_result(folder).measured.seconds * 1000)
