"""What a run, a sweep and the command leave in MLflow, read back by its own client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark import tracking as module
from benchmark.cli.main import main
from benchmark.core.errors import TrackingError
from benchmark.results.files import read_result, read_rows
from benchmark.results.mlflow_entry import allowed_name, log_metrics
from benchmark.results.schema import RunResult, flatten
from benchmark.tracking import PARENT_VARIABLE, Mlflow, NoTracking
from tests.harness import SMALL_SAT, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without pictures."""
    return run(tmp_path_factory.mktemp("run"), *SMALL_SAT, "pipeline=reference_difference", "run.gallery=0").folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder, whose store is made once for all tests."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No sweep is under way, before and after."""
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    yield
    os.environ.pop(PARENT_VARIABLE, None)


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")


@pytest.fixture(scope="module")
def logged(folder: Path, root: Path) -> Any:
    """The run as MLflow's client reads it."""
    os.environ.pop(PARENT_VARIABLE, None)
    found = Mlflow(uri=None, experiment="runs").log(folder, results_root=root)
    return client_of(root).get_run(found)


def test_times_and_status_are_those_of_the_run(logged: Any, folder: Path) -> None:
    measured = read_result(folder).measured
    start = int(datetime.fromisoformat(measured.started).timestamp() * 1000)
    assert logged.info.start_time == start
    assert logged.info.end_time == start + int(measured.seconds * 1000) > start
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "sat × reference_difference"


def test_every_setting_is_a_parameter(logged: Any, folder: Path) -> None:
    wanted = flatten(read_result(folder).config)
    assert len(wanted) > 40
    assert logged.data.params == wanted


def test_every_defined_number_is_a_metric(logged: Any, folder: Path) -> None:
    result = read_result(folder)
    wanted = {f"{m.metric}/{m.category}": m.value for m in result.metrics if m.value is not None}
    wanted |= {f"outcome/{name}": float(number) for name, number in result.outcomes.items()}
    wanted |= {f"seconds/{name}": value for name, value in result.measured.seconds_per_stage.items()}
    wanted |= {**result.measured.counters, "seconds/total": result.measured.seconds}
    assert "outcome/ok" in wanted and "ap/mean" in wanted
    assert logged.data.metrics == pytest.approx({allowed_name(name): value for name, value in wanted.items()})


def test_tags_name_the_result_its_data_protocol_and_code(logged: Any, folder: Path) -> None:
    result = read_result(folder)
    data, code = result.dataset, result.measured
    wanted = {
        "kind": "run",
        "result_id": result.id,
        "digest": result.digest,
        "protocol": "default",
        "protocol_hash": result.protocol.hash,
        "dataset_fingerprint": data.fingerprint,
        "n_effective": "12/12",
        "git_commit": str(code.git_commit),
        "git_dirty": str(code.git_dirty),
        "meaningless": "False",
        "mlflow.source.name": "benchmark",
        "mlflow.source.git.commit": str(code.git_commit),
    }
    tags = logged.data.tags
    assert {name: tags.get(name) for name in wanted} == wanted
    assert "mlflow.parentRunId" not in tags
    first, blank, head, line, *rows = tags["mlflow.note.content"].splitlines()
    assert first == "12 of 12 images (6 good, 6 defective), protocol default"
    assert (blank, head, line) == ("", "| metric | value | 95 % interval | n |", "|---|---|---|---|")
    ap = result.headline()["ap"]
    assert ap.value is not None and ap.low is not None and ap.high is not None
    assert f"| ap | {ap.value:.4f} | {ap.low:.4f} – {ap.high:.4f} | {ap.n} |" in rows
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(result.headline())


def test_the_dataset_is_an_input_and_the_files_are_artifacts(logged: Any, folder: Path, root: Path) -> None:
    (used,) = logged.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.source_type, used.dataset.source) == ("sat", "local", "sat")
    assert used.dataset.digest == read_result(folder).dataset.fingerprint[:32]
    assert [(t.key, t.value) for t in used.tags] == [("mlflow.data.context", "test")]
    client, at = client_of(root), logged.info.run_id
    assert {a.path for a in client.list_artifacts(at)} == {"config.yaml", "per_image.parquet", "result.json", "tables"}
    assert {a.path for a in client.list_artifacts(at, "tables")} == {"tables/metrics.json", "tables/per_image.json"}
    assert RunResult.model_validate_json(read(client, at, "result.json")) == read_result(folder)
    metrics = json.loads(read(client, at, "tables/metrics.json"))
    assert [row[0] for row in metrics["data"]] == [m.metric for m in read_result(folder).metrics]
    assert len(json.loads(read(client, at, "tables/per_image.json"))["data"]) == len(read_rows(folder)) == 12
    text = read(client, at, "config.yaml")
    assert "pipeline: reference_difference" in text and "smoothing: 1.0" in text


def read(client: Any, run_id: str, path: str) -> str:
    return Path(client.download_artifacts(run_id, path)).read_text()


def test_artifacts_of_the_embedded_store_lie_beside_it(logged: Any, root: Path) -> None:
    assert Path(logged.info.artifact_uri.removeprefix("file://")).is_relative_to(root / "mlflow" / "artifacts")
    assert Mlflow(uri=None, experiment="x").address(root) == f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    assert Mlflow(uri="http://host:5000", experiment="x").address(root) == "http://host:5000"


def test_a_sweep_is_a_parent_with_its_table_its_plots_and_its_best(
    folder: Path, root: Path, tmp_path: Path, parent: None
) -> None:
    tracker = Mlflow(uri=None, experiment="sweeps")
    assert tracker.start_sweep("pipeline.smoothing=0,1", results_root=root) is None
    begun = os.environ[PARENT_VARIABLE]
    client = client_of(root)
    assert client.get_run(begun).info.status == "RUNNING"
    child = client.get_run(tracker.log(folder, results_root=root))
    assert child.data.tags["mlflow.parentRunId"] == begun
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "00000.json").write_text("{}")
    (tmp_path / "points.csv").write_text("number,ap\n0,0.5\n1,0.25\n")
    (tmp_path / "ap_over_smoothing.png").write_bytes(b"\x89PNG")
    tracker.finish_sweep(tmp_path, results_root=root, metrics={"best/ap": 0.5})
    assert PARENT_VARIABLE not in os.environ
    sweep = client.get_run(begun)
    assert sweep.info.status == "FINISHED" and sweep.info.end_time >= sweep.info.start_time
    assert sweep.info.run_name == "pipeline.smoothing=0,1" and sweep.data.tags["kind"] == "sweep"
    assert sweep.data.metrics == {"best/ap": 0.5}
    assert {a.path for a in client.list_artifacts(begun)} == {"ap_over_smoothing.png", "points.csv", "tables"}
    table = json.loads(read(client, begun, "tables/points.json"))
    assert table == {"columns": ["number", "ap"], "data": [[0, 0.5], [1, 0.25]]}
    experiment = client.get_experiment_by_name("sweeps")
    assert {r.info.run_id for r in client.search_runs([experiment.experiment_id])} == {begun, child.info.run_id}


def test_a_sweep_without_a_table_is_ended_too(root: Path, tmp_path: Path, parent: None) -> None:
    tracker = Mlflow(uri=None, experiment="sweeps")
    tracker.start_sweep("empty", results_root=root)
    begun = os.environ[PARENT_VARIABLE]
    tracker.finish_sweep(tmp_path, results_root=root, metrics={})
    assert client_of(root).get_run(begun).info.status == "FINISHED"
    assert client_of(root).list_artifacts(begun) == []


def test_a_sweep_that_was_not_begun_is_not_ended(tmp_path: Path, parent: None) -> None:
    tracker = Mlflow(uri="sqlite:////nowhere/at/all.db", experiment="sweeps")
    assert tracker.finish_sweep(tmp_path, results_root=tmp_path, metrics={}) is None
    assert list(tmp_path.iterdir()) == []


def test_tracking_switched_off_writes_nothing(folder: Path, tmp_path: Path, parent: None) -> None:
    off = NoTracking()
    assert off.log(folder, results_root=tmp_path) is None
    assert off.start_sweep("x", results_root=tmp_path) is None
    assert off.finish_sweep(folder, results_root=tmp_path, metrics={}) is None
    assert list(tmp_path.iterdir()) == [] and PARENT_VARIABLE not in os.environ


def test_a_store_that_cannot_be_used_says_how_to_log_later_and_hides_the_password(
    folder: Path, tmp_path: Path, parent: None
) -> None:
    tracker = Mlflow(uri="nosuch://user:geheim@host/x", experiment="runs")
    with pytest.raises(TrackingError) as told:
        tracker.log(folder, results_root=tmp_path)
    assert str(told.value).startswith("MLflow at nosuch://***@host/x cannot be used (")
    assert f"The results are kept in {folder}" in str(told.value) and "geheim" not in str(told.value)
    assert str(told.value).endswith(f"track {folder} --uri URI")


class Batches:
    """A client that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    def log_batch(self, run_id: str, *, metrics: list[Any], params: Any) -> None:
        assert run_id == "r" and not params
        self.sent.append(metrics)


@pytest.mark.parametrize(
    ("number", "sizes"), [(0, []), (1, [1]), (900, [900]), (901, [900, 1]), (1900, [900, 900, 100])]
)
def test_metrics_go_out_in_batches_that_mlflow_takes(number: int, sizes: list[int]) -> None:
    client = Batches()
    log_metrics(client, "r", {f"m{k}": k / 8 for k in range(number)})  # type: ignore[arg-type]
    assert [len(batch) for batch in client.sent] == sizes
    sent = [metric for batch in client.sent for metric in batch]
    assert [(m.key, m.value, m.step) for m in sent] == [(f"m{k}", k / 8, 0) for k in range(number)]
    now = datetime.now().timestamp() * 1000
    assert all(now - 60_000 < m.timestamp <= now for m in sent)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("ap/mean", "ap/mean"), ("a_b-c.d e:f", "a_b-c.d e:f"), ("ü/1", "ü/1"), ("a+b|c", "a_b_c-be9fb1f1"),
        ("", "_-e3b0c442"), ("a//b", "a/_/b-5fb3ee6d"), ("../x", "_/x-3c6a3b2f"), ("m" * 300, "m" * 241),
    ],
)  # fmt: skip
def test_metric_names_keep_what_mlflow_allows(name: str, allowed: str) -> None:
    told = allowed_name(name)
    assert told.startswith(allowed.rpartition("-")[0] or allowed) and len(told) <= 250
    assert (told == name) == (allowed == name)
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    _validate_metric_name(told)
    _validate_param_name(told)


def test_different_names_stay_different() -> None:
    names = ["a+b", "a_b", "a|b", "a b", "a//b", "a/_/b", "a/../b", "a/./b", "a/", "/a", "m" * 300, "m" * 301]
    assert len({allowed_name(name) for name in names}) == len(names)


def test_a_prompt_for_a_category_of_any_name_is_logged(tmp_path: Path, parent: None) -> None:
    done = run(tmp_path, *SMALL_SAT, "pipeline=constant", "run.gallery=0")
    path = done.folder / "result.json"
    result = read_result(done.folder)
    odd = {**result.config, "prompts": {"a+b": ["x"], "a_b": ["y"], "a//b": ["z"]}}
    path.write_text(result.model_copy(update={"config": odd}).model_dump_json())
    found = Mlflow(uri=None, experiment="odd").log(done.folder, results_root=tmp_path)
    logged = client_of(tmp_path).get_run(str(found))
    assert logged.info.status == "FINISHED"
    assert sorted(v for k, v in logged.data.params.items() if k.startswith("prompts.")) == ["['x']", "['y']", "['z']"]


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b#c"])
def test_a_results_folder_of_any_name_holds_its_store(folder: Path, tmp_path: Path, parent: None, name: str) -> None:
    root = tmp_path / name
    store = Mlflow(uri=None, experiment="x")
    store.log(folder, results_root=root)
    assert sorted(p.name for p in (root / "mlflow").iterdir() if not p.name.startswith(".")) == [
        "artifacts",
        "mlflow.db",
    ]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_moved_results_folder_keeps_its_artifacts(folder: Path, tmp_path: Path, parent: None) -> None:
    store = Mlflow(uri=None, experiment="x")
    first = str(store.log(folder, results_root=tmp_path / "before"))
    (tmp_path / "before").rename(tmp_path / "after")
    second = str(store.log(folder, results_root=tmp_path / "after"))
    assert not (tmp_path / "before").exists()
    client = client_of(tmp_path / "after")
    for one in (first, second):
        assert "result.json" in [file.path for file in client.list_artifacts(one)]


def test_a_database_of_ones_own_has_its_artifacts_beside_it(
    folder: Path, tmp_path: Path, parent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    Mlflow(uri=f"sqlite:///{tmp_path / 'own' / 'my.db'}", experiment="x").log(folder, results_root=tmp_path / "results")
    assert not (tmp_path / "mlruns").exists()
    assert list((tmp_path / "own" / "artifacts").rglob("result.json"))


@pytest.mark.parametrize(
    ("uri", "place"),
    [("postgresql://u:p@h/m", "file:///r/artifacts"), ("mysql+pymysql://h/m", "file:///r/artifacts"),
     ("https://server", None), ("file:///somewhere", None), ("databricks", None), ("sqlite:////a/m.db", "file:///a/artifacts")],
)  # fmt: skip
def test_where_artifacts_go(uri: str, place: str | None) -> None:
    assert Mlflow(uri=uri, experiment="x")._artifacts(Path("/r")) == place


SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@pytest.mark.parametrize("own", [None, "7"])
def test_switches_are_set_unless_the_user_did(own: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.setenv(name, "restored afterwards")
        monkeypatch.delenv(name) if own is None else monkeypatch.setenv(name, own)
    module._quiet_environment()
    assert {name: os.environ[name] for name in SWITCHES} == (SWITCHES if own is None else dict.fromkeys(SWITCHES, own))


def test_the_command_logs_finished_runs_to_a_store_of_ones_own(
    folder: Path, root: Path, capsys: pytest.CaptureFixture[str], parent: None
) -> None:
    uri = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    assert main(["track", str(folder), str(folder), f"uri={uri}", "experiment=runs"]) == 0
    said = capsys.readouterr().out.splitlines()
    named = [line.partition(": MLflow run ")[2] for line in said]
    assert [line.partition(":")[0] for line in said] == [str(folder)] * 2 and len(set(named)) == 2
    assert {client_of(root).get_run(name).data.tags["digest"] for name in named} == {read_result(folder).digest}


def test_per_image_rows_are_logged_as_they_were_written(logged: Any, folder: Path, root: Path) -> None:
    path = client_of(root).download_artifacts(logged.info.run_id, "per_image.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(path), read_rows(folder))


def test_a_run_again_updates_its_entry_and_keeps_what_people_wrote(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Mlflow(uri=None, experiment="again")
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    first = str(store.log(folder, results_root=tmp_path))
    client = client_of(tmp_path)
    client.set_tag(first, "line", "3, second shift")
    monkeypatch.setenv(PARENT_VARIABLE, str(store.start_sweep("a sweep", results_root=tmp_path)))
    point = store.log(folder, results_root=tmp_path)
    monkeypatch.delenv(PARENT_VARIABLE)
    again = [str(store.log(folder, results_root=tmp_path)) for _ in range(2)]
    experiment = client.get_experiment_by_name("again")
    kept = client.search_runs([experiment.experiment_id], f"tags.result_id = '{read_result(folder).id}'")
    assert {run.info.run_id for run in kept} == {point, again[-1]}, "the point of a sweep stays where it is"
    assert client.get_run(again[-1]).data.tags["line"] == "3, second shift"
