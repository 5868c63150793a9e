"""Questions as traces of MLflow, and the pipeline as a logged model, read back by MLflow's own client."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from benchmark.chat.answers import Record
from benchmark.core.traces import Trace
from benchmark.pipelines.vlm.tracing import of_record
from benchmark.results import mlflow_questions as questions
from benchmark.results.files import read_result
from benchmark.results.traces import TRACES, read_traces, write_traces
from benchmark.tracking import Mlflow
from tests.chat.test_replies import PROVIDERS
from tests.harness import run
from tests.pipelines.iap.test_normals import sample
from tests.pipelines.vlm.servers import Fake, Reply, serving
from tests.pipelines.vlm.test_endpoint import NOK, SECRET, chat, error

SAT = ("dataset=sat", "dataset.n_good=3", "dataset.n_defective=3", "dataset.n_train=2", "dataset.size=64")
PLAIN = ("pipeline.reference.kind=none", "pipeline.align.motion=none", "pipeline.prompts=gemini/generic")
LEAK = chat(json.dumps({"reasoning": f"see https://me:{SECRET}@host and a dent", "label": "NOK"}))


def words(folder: Path, fake: Fake, *more: str) -> tuple[str, ...]:
    return (
        *SAT, "pipeline=vlm_endpoint", *PLAIN, f"pipeline.provider.access.base_url={fake.url}/v1",
        "pipeline.provider.access.key_env=MY_ENDPOINT_KEY", "pipeline.calls.first_delay_s=0.01", "run.gallery=0",
        f"run.results_root={folder}", "tracking=mlflow", "protocol.resamples=0", *more,
    )  # fmt: skip


def script(image: str, number: int) -> Reply:
    """The second image fails, the third ends at its limit; the others are answered."""
    order.setdefault(image, len(order))
    return {1: error(400), 2: chat('{"reas', finish="length")}.get(order[image], LEAK)


order: dict[str, int] = {}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of six images, each asked once, then the same from its stored answers."""
    folder = tmp_path_factory.mktemp("tracked")
    order.clear()
    with pytest.MonkeyPatch.context() as patch, serving(script) as fake:
        patch.setenv("MY_ENDPOINT_KEY", SECRET)
        given = words(folder, fake, "pipeline.calls.max_concurrency=1")
        first = run(folder, *given)
        before = search(folder, first.tracking_id)
        again = run(folder, *given, "pipeline.answers.mode=replay")
    return folder, first, before, again


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")


def search(folder: Path, run_id: str) -> list[Any]:
    client = client_of(folder)
    experiment = client.get_run(run_id).info.experiment_id
    return list(client.search_traces(locations=[experiment], run_id=run_id, max_results=500))


def test_every_question_is_a_trace_with_prompt_answer_tokens_time_and_state(tracked: Any) -> None:
    _, first, traces, _ = tracked
    assert first.tracking_error is None and len(traces) == 6
    by_image = {t.info.tags["image"]: t for t in traces}
    assert set(by_image) == {t.sample for t in read_traces(first.folder, 99)} and len(by_image) == 6
    states = sorted(t.info.tags["state"] for t in traces)
    assert states == ["answered"] * 4 + ["failed", "truncated"]
    good = next(t for t in traces if t.info.tags["state"] == "answered")
    (span,) = good.data.spans
    assert (
        "determine whether the image contains anomalies" in span.inputs["prompt"]
        and len(span.inputs["images_sha256"]) == 1
    )
    assert span.inputs["image"] == good.info.tags["image"] and span.outputs["label"] == "NOK"
    assert good.info.token_usage == {"input_tokens": 500, "output_tokens": 30, "total_tokens": 530}
    assert span.attributes["asked.model"] == "qwen2.5-vl-7b-instruct"
    assert "mlflow.llm.model" not in span.attributes, "or MLflow looks its price up on the network"
    assert (good.info.tags["answer"], good.info.tags["dataset"], good.info.state.value) == ("asked", "sat", "OK")
    assert good.info.execution_duration is not None and good.info.execution_duration < 60_000
    failed = next(t for t in traces if t.info.tags["state"] == "failed")
    assert failed.info.state.value == "ERROR" and failed.data.spans[0].outputs == {"state": "failed"}


def test_no_key_is_in_a_trace_nor_beside_the_result(tracked: Any) -> None:
    folder, first, traces, _ = tracked
    text = json.dumps([t.to_dict() for t in traces])
    assert SECRET not in text and "and a dent" in text
    assert SECRET not in (first.folder / TRACES).read_text()
    assert SECRET.encode() not in (folder / "mlflow" / "mlflow.db").read_bytes()


def test_names_of_files_are_redacted_like_every_text() -> None:
    provider, reply = PROVIDERS["openai"]
    record = Record(
        key="0" * 64, recipe="r", request={}, prepared={}, dataset="d", sample="s", body=json.dumps(reply),
        failure=None, cost_usd=None, attempts=1, latency_s=0.0, software="x", time="t",
    )  # fmt: skip
    one = sample("a.png", category=f"part?token={SECRET}")
    told = of_record(dataclasses.replace(one, id=f"https://me:{SECRET}@host/a.png"), record, provider, asked=True)
    assert SECRET not in told.model_dump_json() and told.sample.endswith("host/a.png")


def test_a_replay_takes_the_place_of_the_traces_and_says_that_nothing_was_paid(tracked: Any) -> None:
    folder, first, before, again = tracked
    assert again.result.digest == first.result.digest and again.tracking_id != first.tracking_id
    traces = search(folder, again.tracking_id)
    assert len(traces) == 6 and {t.info.tags["answer"] for t in traces} == {"stored"}
    assert all(t.info.token_usage is None for t in traces), "or the sums of MLflow would count them twice"
    kept = [t.data.spans[0].attributes["stored.tokens"] for t in traces if t.info.tags["state"] == "answered"]
    assert kept == [{"input_tokens": 500, "output_tokens": 30}] * 4
    left = client_of(folder).search_traces(locations=[traces[0].info.experiment_id], max_results=500)
    assert {t.info.trace_id for t in left} == {t.info.trace_id for t in traces}
    times = {t.info.tags["image"]: t.info.request_time for t in before}
    assert {t.info.tags["image"]: t.info.request_time for t in traces} == times, "when it was asked"


def test_the_pipeline_is_a_logged_model_with_its_metrics_and_data(tracked: Any) -> None:
    folder, _, _, again = tracked
    client = client_of(folder)
    entry = client.get_run(again.tracking_id)
    (output,) = entry.outputs.model_outputs
    models = client.search_logged_models([entry.info.experiment_id])
    assert [m.model_id for m in models] == [output.model_id], "that of the replaced entry is gone"
    (model,) = models
    assert (model.name, model.model_type, model.status.value) == ("vlm_endpoint", "pipeline", "READY")
    assert model.source_run_id == again.tracking_id and model.params["prompt"] == "basic"
    assert model.tags["digest"] == again.result.digest and not any("key_env" in name for name in model.params)
    wanted = {f"{m.metric}/{m.category}": m.value for m in again.result.metrics if m.value is not None}
    assert {m.key: m.value for m in model.metrics} == pytest.approx(wanted) and "f2/pooled" in wanted
    (data,) = entry.inputs.dataset_inputs
    assert {(m.dataset_name, m.dataset_digest) for m in model.metrics} == {(data.dataset.name, data.dataset.digest)}


def test_switched_off_or_limited(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tracked[0]
    monkeypatch.setenv("MY_ENDPOINT_KEY", SECRET)
    with serving(lambda i, n: NOK) as fake:
        two = run(folder, *words(folder, fake, "tracking.most_traces=2", "pipeline.answers.mode=replay"))
        assert len(search(folder, two.tracking_id)) == 2
        off = run(folder, *words(folder, fake, "tracking.traces=false", "pipeline.answers.mode=replay"))
    assert search(folder, off.tracking_id) == [] and not (off.folder / TRACES).exists()
    assert off.result.digest == two.result.digest


def test_traces_that_cannot_be_logged_are_told_once_and_the_entry_stays(
    tracked: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.tracing.client import TracingClient

    folder, first, _, _ = tracked
    write_traces(first.folder, [a_trace(f"{i}.png") for i in range(120)])

    def refused(self: Any, experiment: str, spans: list[Any]) -> None:
        raise RuntimeError(f"no traces at https://me:{SECRET}@host")

    monkeypatch.setattr(TracingClient, "log_spans", refused)
    with caplog.at_level(logging.WARNING):
        found = Mlflow(uri=None, experiment="fm-defect-bench").log(first.folder, results_root=folder)
    told = [r.getMessage() for r in caplog.records if "questions are traces" in r.getMessage()]
    assert len(told) == 1 and told[0].startswith("0 of 120") and SECRET not in told[0]
    assert client_of(folder).get_run(str(found)).info.status == "FINISHED"


def test_ctrl_c_while_traces_are_logged_leaves_a_finished_entry(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, first, _, _ = tracked
    write_traces(first.folder, [a_trace("a.png")])
    monkeypatch.setattr(questions, "_span", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Mlflow(uri=None, experiment="fm-defect-bench").log(first.folder, results_root=folder)
    client = client_of(folder)
    experiment = client.get_experiment_by_name("fm-defect-bench")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.result_id = '{read_result(first.folder).id}'")
    assert [r.info.status for r in found] == ["FINISHED"]


def test_a_slow_store_ends_the_traces_not_the_run(
    tracked: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tracked[0]
    monkeypatch.setattr(questions, "SECONDS", -1.0)
    client = client_of(folder)
    experiment = str(client.search_experiments()[0].experiment_id)
    with caplog.at_level(logging.WARNING):
        assert questions.log_traces(client, experiment, "unknown", [a_trace("a.png")], dataset="sat") == 0
    assert "took more than" in caplog.text


def test_a_known_cost_is_summed_by_mlflow(tracked: Any) -> None:
    folder, first, _, _ = tracked
    write_traces(first.folder, [a_trace("a.png")])
    found = Mlflow(uri=None, experiment="priced").log(first.folder, results_root=folder)
    (one,) = search(folder, str(found))
    assert one.info.cost["total_cost"] == 0.01
    assert one.data.spans[0].attributes["mlflow.llm.model"] == "m"


def a_trace(sample: str) -> Trace:
    return Trace(
        sample=sample, category="c", prompt="?", images=(), answer="B", state="answered", how="asked", provider="p",
        model="m", prompt_tokens=1, output_tokens=1, cost_usd=0.01, latency_s=0.5, attempts=1, time="",
    )  # fmt: skip
