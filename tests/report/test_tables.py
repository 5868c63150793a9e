"""What is printed of a run and of a sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.report.page_data import _cost
from benchmark.report.points import _print
from benchmark.report.tables import outward, print_result
from tests.data.dataset_trees import mvtec_tree
from tests.harness import SMALL_SAT, run
from tests.tiny_models import FEATURES


def test_a_metric_that_nothing_defines_takes_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for category in ("a", "b"):
        mvtec_tree(tmp_path / "mine", category=category)
    words = ("dataset=folder", f"dataset.path={tmp_path / 'mine'}", "pipeline=constant")
    print_result(run(tmp_path, *words, "metric.names=[ap,f2]"))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if row[:1] == ["ap"]] == ["pooled"]
    assert [row[1] for row in rows if row[:1] == ["f2"]] == ["a", "b", "mean", "pooled"]


def test_categories_without_a_value_are_told_from_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mvtec_tree(tmp_path / "mine", category="a")
    mvtec_tree(tmp_path / "mine", category="b", defective=0)
    words = ("dataset=folder", f"dataset.path={tmp_path / 'mine'}", "pipeline=constant")
    print_result(run(tmp_path, *words, "metric.names=[f2]"))
    (mean,) = [line for line in capsys.readouterr().out.splitlines() if "│ mean" in line]
    assert "1 category skipped" in mean


def test_a_sweep_without_a_best_point_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = {"folds": [3, 5], "status": "ok", "message": None, "best": False}
    table = pd.DataFrame(points | {"ap": np.nan, "ap_low": np.nan, "f2": [0.5, 0.6], "f2_low": np.nan})
    _print(table, ["folds"], "ap", tmp_path)
    said = capsys.readouterr().out
    assert "no best point, as ap is undefined in all; run.objective=f2 takes another" in said
    assert "best by" not in said


def test_a_printed_interval_holds_the_printed_value() -> None:
    assert outward(0.99991, 1.0) == (0.999, 1.0)
    assert outward(0.25, 0.2501) == (0.25, 0.251)
    assert outward(0.25, float("inf")) is outward(float("nan"), 1.0) is None
    assert outward(0.1, 0.3) == (0.1, 0.3)
    assert outward(None, 0.3) is None


def test_a_run_says_where_the_time_of_its_stages_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = run(tmp_path, *SMALL_SAT, "pipeline=patchcore", *FEATURES, "run.gallery=0")
    print_result(finished)
    said = " ".join(capsys.readouterr().out.split())
    assert "their time: " in said and "% computing, " in said and "% waiting for images, " in said
    cost = dict(_cost(finished.result))["stage patchcore_distances"]
    assert "12 computed" in cost and "% computing, " in cost
    assert finished.result.measured.seconds_storing["patchcore_distances"] > 0
    assert finished.result.measured.settings["batch_size"] == "auto"


@pytest.mark.parametrize(("limit", "told"), [(2, True), (12, False)])
def test_a_part_without_one_class_says_so(
    limit: int, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("dataset.size=64", "dataset.n_train=1", "dataset.n_good=10", "dataset.n_defective=2")
    print_result(run(tmp_path, "dataset=sat", "pipeline=constant", *sizes, f"run.limit={limit}"))
    said = "none of these 2 images is defective; raise run.limit, which takes images evenly from all 12"
    assert (said in capsys.readouterr().out) is told
