"""One run from config to result: deterministic, honest about what was left out, found again in MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import ConfigError, DataError, ResultsError
from benchmark.results.files import read_result, read_rows
from tests.harness import ROOT, SMALL_SAT, command, places, run, typed


def test_the_same_command_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=reference_difference")
    first = run(tmp_path, *words).result
    again = run(tmp_path, *words, "run.overwrite=always", "run.workers=0").result
    assert again.deterministic_json() == first.deterministic_json()
    assert again.digest == first.digest and len(first.digest) == 64
    other = run(tmp_path, *words, "dataset.seed=1").result
    assert other.digest != first.digest and other.id != first.id
    drawn = [
        run(tmp_path, *SMALL_SAT, "pipeline=constant", "pipeline.policy=prevalence", f"run.seed={s}") for s in (0, 1)
    ]
    assert len({d.result.rows_sha256 for d in drawn}) == 2


def test_the_result_file_reads_back_and_says_what_was_evaluated(tmp_path: Path) -> None:
    finished = run(tmp_path, *SMALL_SAT, "pipeline=constant", "pipeline.policy=always_defective")
    result = read_result(finished.folder)
    assert result == finished.result
    assert (result.dataset.n_good, result.dataset.n_defective) == (6, 6)
    assert result.metric("f2").value == pytest.approx(5 * 6 / (5 * 6 + 6))
    assert result.metric("ap").value is None and "no score map" in str(result.metric("ap").reason)
    (always,) = [b for b in result.baselines if b.policy == "always_defective"]
    assert always.values["f2"] == pytest.approx(result.metric("f2").value)
    rows = read_rows(finished.folder)
    assert len(rows) == 12 and rows["label"].all() and set(rows["outcome"]) == {"ok"}


def test_the_constant_answers_are_scored_on_the_labels_of_the_protocol(tmp_path: Path) -> None:
    for place, grey in (("test/good/0", 0), ("test/cut/1", 0), ("test/cut/2", 0), ("ground_truth/cut/1_mask", 255),
                        ("ground_truth/cut/2_mask", 0)):  # fmt: skip
        file = tmp_path / "parts" / "gear" / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(file)
    words = ("dataset=folder", f"dataset.path={tmp_path / 'parts'}", "pipeline=constant")
    found = []
    for label_from in ("folder", "mask"):
        result = run(tmp_path, *words, "pipeline.policy=always_defective", f"protocol.label_from={label_from}").result
        (always,) = [b for b in result.baselines if b.policy == "always_defective"]
        found.append(always.values["f2"])
        assert found[-1] == pytest.approx(result.metric("f2").value)
    assert found == pytest.approx([10 / 11, 5 / 7])


def test_a_limited_run_never_passes_for_a_whole_one(tmp_path: Path) -> None:
    limited = run(tmp_path, *SMALL_SAT, "pipeline=constant", "run.limit=4").result
    whole = run(tmp_path, *SMALL_SAT, "pipeline=constant").result
    assert (limited.dataset.n_samples_original, limited.dataset.n_samples_effective) == (12, 4)
    assert limited.id != whole.id
    assert limited.dataset.n_good and limited.dataset.n_defective, "the limit is spread over good and defective images"


def test_never_overwrite_keeps_the_result_that_is_there(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=constant")
    first = run(tmp_path, *words)
    stamp = (first.folder / "result.json").stat().st_mtime_ns
    kept = run(tmp_path, *words, "run.overwrite=never")
    assert kept.reused and kept.result == first.result
    assert (first.folder / "result.json").stat().st_mtime_ns == stamp


def test_an_edited_file_makes_another_run(tmp_path: Path) -> None:
    """What a file says that a setting names, a reference image or a prompt table, is part of what the run is."""
    reference = tmp_path / "reference.png"
    words = (*SMALL_SAT, "pipeline=reference_difference", f"pipeline.reference={reference}", "pipeline.threshold=20")
    found = []
    for grey in (80, 160):
        Image.fromarray(np.full((64, 64), grey, np.uint8)).save(reference)
        found.append(run(tmp_path, *words, "run.overwrite=never"))
    first, second = found
    assert not second.reused and first.folder != second.folder
    assert first.result.config["files"]["pipeline.reference"] != second.result.config["files"]["pipeline.reference"]
    assert run(tmp_path, *words, "run.overwrite=never").result == second.result
    assert "files" not in run(tmp_path, *SMALL_SAT, "pipeline=constant").result.config


def test_home_and_variables_are_filled_in_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PARTS", str(tmp_path / "parts"))
    for place in ("train/good/0", "train/good/1", "test/good/0", "test/cut/1", "ground_truth/cut/1_mask"):
        file = tmp_path / "parts" / "gear" / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(file)
    roots = {f"run.{name}_root": f'"~/{name}"' for name in ("data", "results", "cache", "weights")}
    words = ("dataset=folder", 'dataset.path="~/parts"', "pipeline=reference_difference", "tracking=none")
    reference = ('pipeline.reference="$PARTS/gear/train/good/0.png"', "pipeline.threshold=20")
    done = command("-m", *(f"{k}={v}" for k, v in roots.items()), *words, *reference, "pipeline.smoothing=0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/result.json"))) == 2
    assert (tmp_path / "results" / ".hydra").is_dir() and (tmp_path / "cache").is_dir()
    assert not (ROOT / "~").exists()
    with pytest.raises(ConfigError, match=r"run\.results_root: .*the variable NOWHERE is not set"):
        typed('run.results_root="$NOWHERE/results"')


def test_paths_device_and_workers_do_not_name_the_run(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=constant")
    assert (
        run(tmp_path / "a", *words).result.digest
        == run(tmp_path / "b", *words, "run.workers=0", "run.batch_size=3").result.digest
    )


def test_an_altered_result_file_is_refused_by_name(tmp_path: Path) -> None:
    finished = run(tmp_path, *SMALL_SAT, "pipeline=constant")
    path = finished.folder / "result.json"
    content = json.loads(path.read_text())
    content["surprise"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsError, match=r"result\.json .*\(surprise: .*run\.overwrite=only_missing"):
        read_result(finished.folder)


def test_a_reference_is_asked_for_where_nothing_can_be_learnt(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pipeline\.reference="):
        run(tmp_path, *SMALL_SAT, "dataset.n_train=0", "pipeline=reference_difference")


def test_unknown_metric_names_near_ones() -> None:
    with pytest.raises(ConfigError, match="f1_max"):
        typed("metric.names=[f1_mx]")


@pytest.mark.slow
def test_a_run_is_found_again_with_mlflows_client(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    done = command(*places(tmp_path)[:-1], *SMALL_SAT, "pipeline=reference_difference")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "results" / "runs").glob("*/result.json")
    result = read_result(path.parent)
    client = MlflowClient(f"sqlite:///{tmp_path / 'results' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fm-defect-bench")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.tags["digest"] == result.digest and found.data.tags["result_id"] == result.id
    assert found.data.params["pipeline.smoothing"] == "1.0" and found.data.params["dataset.n_good"] == "6"
    assert found.data.metrics["ap/mean"] == pytest.approx(result.metric("ap").value)
    (used,) = found.inputs.dataset_inputs
    assert used.dataset.name == "sat" and result.dataset.fingerprint.startswith(used.dataset.digest)
    artifacts = {a.path for a in client.list_artifacts(found.info.run_id)}
    assert {"result.json", "per_image.parquet", "config.yaml", "tables"} <= artifacts
    for name in ("ap", "f1_max", "max_iou", "iou", "f2"):
        assert name in done.stdout
