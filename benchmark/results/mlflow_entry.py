"""One finished run as an entry of MLflow: parameters, metrics, data, files, and the pipeline as a logged model."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.lazy import batched
from benchmark.core.secrets import redact
from benchmark.results.figures import headline_table, tables_of, write_artifacts
from benchmark.results.schema import flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Param, Run

    from benchmark.results.schema import RunResult

log = logging.getLogger(__name__)
PARENT_VARIABLE = "BENCH_MLFLOW_PARENT"
POINT_VARIABLE = "BENCH_SWEEP_POINT"
"""Holds what makes a point of a sweep another one than its neighbours, for its name."""
METRICS_AT_ONCE, PARAMS_AT_ONCE = 900, 100
"""Most that MLflow takes in one call: 100 parameters, and 1,000 values in all."""
LONGEST_NAME = 250
"""Most characters of a name in MLflow."""
EXTERNAL = "mlflow.model.isExternal"
"""Tag of a model whose files MLflow does not hold."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Which of a run's metrics are those of its logged model, and on which data."""

    model_id: str
    dataset: str
    digest: str
    names: frozenset[str]


def log_run(client: MlflowClient, experiment: str, result: RunResult, folder: Path) -> str:
    """Log a run in place of its earlier entries and return its id."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    name = result.title
    tags = _tags(result, tables_of(folder))
    if os.environ.get(PARENT_VARIABLE):
        tags["mlflow.parentRunId"] = os.environ[PARENT_VARIABLE]
        name = " ".join(filter(None, [name, os.environ.get(POINT_VARIABLE)]))
    earlier = _earlier(client, experiment, result.id)
    tags = {k: v for run in earlier for k, v in run.data.tags.items() if not k.startswith("mlflow.")} | tags
    start = int(datetime.fromisoformat(result.measured.started).timestamp() * 1000)
    run_id = str(client.create_run(experiment, run_name=name[:LONGEST_NAME], tags=tags, start_time=start).info.run_id)
    values = {f"{m.metric}/{m.category}": m.value for m in result.metrics if m.value is not None}
    model = _log_model(client, experiment, run_id, result, frozenset(values))
    values |= {f"outcome/{k}": float(v) for k, v in result.outcomes.items()}
    values |= {f"seconds/{k}": v for k, v in result.measured.seconds_per_stage.items()}
    values |= result.measured.counters
    values["seconds/total"] = result.measured.seconds
    params = [Param(allowed_name(k), v[:6000]) for k, v in sorted(flatten(result.config).items())]
    dataset = result.dataset.name
    data = Dataset(name=dataset, digest=_digest(result), source_type="local", source=dataset)
    client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "test")])])
    log_metrics(client, run_id, values, params, model=model)
    with tempfile.TemporaryDirectory() as place:
        write_artifacts(result, folder, Path(place))
        client.log_artifacts(run_id, place)  # in one call: MLflow looks the run up for each
    client.set_terminated(run_id, end_time=start + int(result.measured.seconds * 1000))
    for run in earlier:
        _delete(client, experiment, run.info.run_id)
    return run_id


def _digest(result: RunResult) -> str:
    return result.dataset.fingerprint[:32]


def _log_model(
    client: MlflowClient, experiment: str, run_id: str, result: RunResult, names: frozenset[str]
) -> Measured | None:
    """Log the pipeline as a model of the run; a server that knows no such models (MLflow 2) is told of, no more."""
    try:
        model_id = _made_model(client, experiment, run_id, result)
    except Exception as error:
        log.warning("the pipeline is no model in MLflow (%s)", told_of(error))
        return None
    return Measured(model_id=model_id, dataset=result.dataset.name, digest=_digest(result), names=names)


def _made_model(client: MlflowClient, experiment: str, run_id: str, result: RunResult) -> str:
    """Log the pipeline with its settings as a model, so that MLflow sets models side by side."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    settings = flatten(result.config.get("pipeline", {}))
    facts = {"protocol": result.protocol.name, "result_id": result.id, "digest": result.digest, EXTERNAL: "true"}
    model = client.create_logged_model(
        experiment,
        name="".join(c if c.isalnum() or c in "_- " else "_" for c in result.choices["pipeline"]) or None,
        source_run_id=run_id,
        tags={**facts, "meaningless": str(result.meaningless)},
        params={allowed_name(key): value[:6000] for key, value in sorted(settings.items())},
        model_type="pipeline",
    )
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(model.model_id)


def _delete(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Delete an entry with its models and questions, as far as the server knows any."""
    try:
        outputs = client.get_run(run_id).outputs
        for model in outputs.model_outputs if outputs is not None else ():
            client.delete_logged_model(model.model_id)
        while found := client.search_traces(
            locations=[experiment], run_id=run_id, include_spans=False, max_results=100
        ):
            if not client.delete_traces(experiment, trace_ids=[trace.info.trace_id for trace in found]):
                break
    except Exception as error:
        log.warning("models and questions of an earlier entry stay in MLflow (%s)", told_of(error))
    client.delete_run(run_id)


def told_of(error: Exception) -> str:
    """Return the kind and the first line of an error, without keys."""
    lines = redact(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _earlier(client: MlflowClient, experiment: str, result_id: str) -> list[Run]:
    """Return the entries that a new one of this run replaces, the latest last.

    Those are of the same sweep, or of none as this one, and what a killed process began: nobody else logs it now
    (``_alone``), so that it is ended here.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    replaced = []
    for run in client.search_runs([experiment], f"tags.result_id = '{result_id}'", order_by=["attributes.start_time"]):
        unfinished = run.info.status == "RUNNING"
        if unfinished:
            client.set_terminated(run.info.run_id, status="KILLED")
        if unfinished or run.data.tags.get("mlflow.parentRunId") == parent:
            replaced.append(run)
    return replaced


def log_metrics(
    client: MlflowClient,
    run_id: str,
    values: Mapping[str, float],
    params: Sequence[Param] = (),
    *,
    model: Measured | None = None,
) -> None:
    """Log metrics, and parameters with them, in batches that MLflow takes."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = []
    for name, value in values.items():
        of_model = {}
        if model is not None and name in model.names:
            of_model = {"model_id": model.model_id, "dataset_name": model.dataset, "dataset_digest": model.digest}
        metrics.append(Metric(allowed_name(name), float(value), now, 0, run_id=run_id, **of_model))
    batches = (batched(metrics, METRICS_AT_ONCE), batched(params, PARAMS_AT_ONCE))
    for some, others in itertools.zip_longest(*batches, fillvalue=()):
        client.log_batch(run_id, metrics=some, params=others)


def allowed_name(name: str) -> str:
    """Return a name of a metric or parameter that MLflow takes; different names stay different.

    A name that MLflow would refuse (characters, empty or dotted parts between slashes, more than 250 characters) gets
    the first digits of its hash behind it.
    """
    kept = "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)
    parts = ["_" if part in ("", ".", "..") else part for part in kept.split("/")]
    allowed = "/".join(parts)
    if allowed == name and len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{allowed[: LONGEST_NAME - 9]}-{mark}"


def _tags(result: RunResult, tables: Sequence[str]) -> dict[str, str]:
    return {
        "kind": "run",
        "mlflow.loggedArtifacts": json.dumps([{"path": name, "type": "table"} for name in tables]),
        "result_id": result.id,
        "digest": result.digest,
        "protocol": result.protocol.name,
        "protocol_hash": result.protocol.hash,
        "dataset_fingerprint": result.dataset.fingerprint,
        "n_effective": f"{result.dataset.n_samples_effective}/{result.dataset.n_samples_original}",
        "git_commit": str(result.measured.git_commit),
        "git_dirty": str(result.measured.git_dirty),
        "meaningless": str(result.meaningless),
        "mlflow.source.name": "benchmark",
        "mlflow.source.git.commit": str(result.measured.git_commit),
        "mlflow.note.content": headline_table(result),
    }
