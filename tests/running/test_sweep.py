"""Sweeps: one table at the end, the best point marked, failed points as rows, parent and child runs in MLflow."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from benchmark.scoring.metrics.registry import ORACLE_NOTE
from tests.harness import SMALL_SAT, command, places


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of 2 × 3 points; one value of the threshold cannot be used."""
    folder = tmp_path_factory.mktemp("swept")
    done = command(
        "-m", *places(folder)[:-1], *SMALL_SAT, "dataset.nuisance=0", "pipeline=reference_difference",
        "run.objective=f1_max", "pipeline.smoothing=0,1,2", "pipeline.reference=median,nowhere.png",
    )  # fmt: skip
    assert done.returncode == 1, "a sweep with failed points must say so by its exit code"
    assert "Traceback" not in done.stderr
    return folder, done.stdout


def folder_of(folder: Path) -> Path:
    (found,) = (folder / "results" / "sweeps").glob("sweep-*")
    return found


def test_every_point_is_a_row_and_the_failed_ones_say_why(swept: tuple[Path, str]) -> None:
    folder, said = swept
    table = pd.read_parquet(folder_of(folder) / "points.parquet")
    assert len(table) == 6 and list(table["status"]).count("failed") == 3
    failed = table[table["status"] == "failed"]
    assert failed["message"].str.contains("nowhere.png").all() and failed["ap"].isna().all()
    assert set(table["pipeline.smoothing"]) == {0, 1, 2}
    assert len(pd.read_csv(folder_of(folder) / "points.csv")) == 6
    assert "no such reference image" in said


def test_the_best_point_is_marked_with_its_interval(swept: tuple[Path, str]) -> None:
    folder, said = swept
    table = pd.read_parquet(folder_of(folder) / "points.parquet")
    (best,) = table[table["best"]].to_dict("records")
    assert best["f1_max"] == table["f1_max"].max()
    assert best["f1_max_low"] <= best["f1_max"] <= best["f1_max_high"]
    assert "→" in said and "best by f1_max (oracle)" in said
    assert ORACLE_NOTE in said


def test_plots_are_written(swept: tuple[Path, str]) -> None:
    plot = folder_of(swept[0]) / "f1_max_over_smoothing.png"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_mlflow_has_a_parent_run_with_the_table_and_a_child_a_point(swept: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{swept[0] / 'results' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fm-defect-bench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in runs if r.data.tags["kind"] == "sweep"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3 and {r.info.status for r in runs} == {"FINISHED"}
    assert len({r.info.run_name for r in children}) == 3
    assert any(
        r.info.run_name == "sat × reference_difference pipeline.smoothing=1 pipeline.reference=median" for r in children
    )
    names = {a.path for a in client.list_artifacts(parent.info.run_id)}
    assert {"points.parquet", "points.csv", "f1_max_over_smoothing.png", "tables"} <= names
    best = pd.read_parquet(folder_of(swept[0]) / "points.parquet")["f1_max"].max()
    assert parent.data.metrics["best/f1_max"] == pytest.approx(best)


def test_a_preset_sweeps_two_parameters(tmp_path: Path) -> None:
    done = command(
        "-m", *SMALL_SAT, "pipeline=reference_difference", "+sweep=smoothing",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = folder_of(tmp_path)
    assert len(pd.read_parquet(found / "points.parquet")) == 10
    assert list(found.glob("*_over_smoothing.png"))


def test_two_numeric_parameters_are_drawn_as_a_heat_map(tmp_path: Path) -> None:
    from benchmark.report.plots import sweep_plots

    grid = [(x, y) for x in (0.1, 0.3, 0.5) for y in (1, 5)]
    table = pd.DataFrame([{"pipeline.max_area": x, "pipeline.top_k": y, "ap": x * y} for x, y in grid])
    written = sweep_plots(table, ["pipeline.max_area", "pipeline.top_k"], "ap", tmp_path)
    assert {p.name for p in written} == {"ap_over_max_area.png", "ap_over_top_k.png", "ap_heat_map.png"}
    assert all(p.stat().st_size > 5000 for p in written)


@pytest.mark.extra
def test_optuna_chooses_points_by_the_objective(tmp_path: Path) -> None:
    if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        pytest.skip("Optuna is not installed; make extras builds an environment that has it")
    done = command(
        "-m", *SMALL_SAT, "dataset.nuisance=0", "pipeline=reference_difference", "hydra/sweeper=optuna_search",
        "hydra.sweeper.n_trials=3", "pipeline.smoothing=interval(0,4)", "run.objective=ap", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(folder_of(tmp_path) / "points.parquet")
    assert len(table) == 3 and table["ap"].nunique() > 1


def test_a_misspelt_key_ends_a_sweep_before_its_first_point(tmp_path: Path) -> None:
    done = command("-m", "pipeline=reference_difference", "pipeline.smothing=1,2", folder=tmp_path)
    assert done.returncode == 1 and "'smoothing'" in done.stderr and "Traceback" not in done.stderr


def parent_of(folder: Path) -> str:
    """State of the sweep's run in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'results' / 'mlflow' / 'mlflow.db'}")
    (found,) = client.search_runs(["1"], "tags.kind = 'sweep'")
    return str(found.info.status)


def test_what_meets_every_point_is_said_once_before_the_first(tmp_path: Path) -> None:
    done = command(
        *("-m", *places(tmp_path)[:-1], *SMALL_SAT, "pipeline=sam_clip", f"run.weights_root={tmp_path}"),
        "pipeline.threshold=0.1,0.2,0.3",
    )
    assert done.returncode == 1
    assert done.stderr.count("weights missing: sam_vit_h, clip_vit_b_16") == 1
    assert "make weights PIPELINE=" in done.stderr and "[0]" not in done.stdout
    assert parent_of(tmp_path) == "FAILED"


def test_a_combination_that_can_run_is_run(tmp_path: Path) -> None:
    done = command(
        *("-m", *places(tmp_path)[:-1], *SMALL_SAT, "pipeline=constant,sam_clip", f"run.weights_root={tmp_path}")
    )
    assert done.returncode == 1 and "2 points" in done.stdout
    assert list(pd.read_csv(folder_of(tmp_path) / "points.csv")["status"]) == ["ok", "failed"]
    assert parent_of(tmp_path) == "FINISHED"


def test_a_dry_run_tells_of_every_combination_and_runs_none(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=constant,patchcore", "run.seed=0,1")
    done = command("-m", *places(tmp_path)[:-1], *words, "dry_run")
    assert done.returncode == 0, done.stderr
    assert "dry run: 4 points, 2 combinations of options" in done.stdout
    assert "sat × constant" in done.stdout and "sat × patchcore" in done.stdout
    assert not (tmp_path / "results" / "runs").exists() and not (tmp_path / "results" / "mlflow").exists()


def test_a_table_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.cli.main import main
    from benchmark.report import points

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no such column")

    monkeypatch.setattr(points, "summarise", refuse)
    monkeypatch.setattr("sys.argv", ["benchmark"])
    assert main(["-m", *places(tmp_path)[:-1], *SMALL_SAT, "pipeline=constant", "run.seed=0,1"]) == 1
    assert parent_of(tmp_path) == "FAILED"
