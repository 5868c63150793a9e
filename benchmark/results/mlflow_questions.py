"""Questions to language models as traces of MLflow, linked to the entry of their run."""

from __future__ import annotations

import base64
import json
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmark.core.traces import Trace
from benchmark.results.mlflow_entry import told_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span

log = logging.getLogger(__name__)
AT_ONCE = 50
"""Traces of one call; MLflow links at most 100."""
SECONDS = 30.0
"""When so much time has passed, no further call is begun."""
TAG = "mlflow.traceTag."


def log_traces(client: MlflowClient, experiment: str, run_id: str, traces: Sequence[Trace], *, dataset: str) -> int:
    """Log questions as traces of a run that is logged already, and return how many there are now.

    Whatever goes wrong is told once, and the run's entry stays as it is: traces are a view of answers that are kept
    elsewhere.

    Args:
        client: of the store.
        experiment: id.
        run_id: that they belong to.
        traces: in order.
        dataset: name of the data.
    """
    done, start = 0, time.monotonic()
    try:
        from mlflow.tracing.client import TracingClient

        tracing = TracingClient(client.tracking_uri)
        for at in range(0, len(traces), AT_ONCE):
            if time.monotonic() - start > SECONDS:
                raise TimeoutError(f"it took more than {SECONDS:g} seconds")
            spans = [_span(trace, dataset) for trace in traces[at : at + AT_ONCE]]
            tracing.log_spans(experiment, spans)
            client.link_traces_to_run([span.trace_id for span in spans], run_id)
            done += len(spans)
    except Exception as error:
        log.warning("%d of %d questions are traces in MLflow, no more (%s)", done, len(traces), told_of(error))
    return done


def _span(trace: Trace, dataset: str) -> Span:
    """Make the only span of a trace. Tokens and cost that were paid for before are named so, and not summed up."""
    from mlflow.entities import Span

    trace_id, span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    end = _nanoseconds(trace.time)
    failed = trace.state != "answered"
    return Span.from_dict(
        {
            "trace_id": base64.b64encode(trace_id).decode(),
            "span_id": base64.b64encode(span_id).decode(),
            "parent_span_id": "",
            "name": "question",
            "start_time_unix_nano": end - int(trace.latency_s * 1e9),
            "end_time_unix_nano": end,
            "status": {"code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK", "message": trace.message or ""},
            "attributes": {name: json.dumps(value) for name, value in _attributes(trace, trace_id, dataset)},
            "events": [],
        }
    )


def _attributes(trace: Trace, trace_id: bytes, dataset: str) -> Iterator[tuple[str, Any]]:
    yield "mlflow.traceRequestId", f"tr-{trace_id.hex()}"
    yield "mlflow.spanType", "CHAT_MODEL"
    yield "mlflow.spanInputs", {"image": trace.sample, "prompt": trace.prompt, "images_sha256": trace.images}
    yield "mlflow.spanOutputs", trace.answer if trace.answer is not None else {"state": trace.state}
    yield "asked.model", trace.model
    yield "asked.provider", trace.provider
    tokens = {"input_tokens": trace.prompt_tokens, "output_tokens": trace.output_tokens}
    if trace.how == "stored":
        yield "stored.tokens", tokens
        yield "stored.cost_usd", trace.cost_usd
    else:
        yield "mlflow.chat.tokenUsage", {**tokens, "total_tokens": sum(tokens.values())}
        if trace.cost_usd is not None:  # without a cost MLflow looks named models up in a list on the network
            yield "mlflow.llm.model", trace.model
            yield "mlflow.llm.provider", trace.provider
            yield "mlflow.llm.cost", {"total_cost": trace.cost_usd}
    yield "attempts", trace.attempts
    yield "latency_s", trace.latency_s
    tags = {"answer": trace.how, "state": trace.state, "dataset": dataset, "category": trace.category}
    for name, value in {**tags, "image": trace.sample, "mlflow.traceName": "question"}.items():
        yield f"{TAG}{name}", value[:250]


def _nanoseconds(text: str) -> int:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        told = datetime.now(UTC)
    return int(told.timestamp() * 1e9)
