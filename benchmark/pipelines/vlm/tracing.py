"""What tracking is told of the questions of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from benchmark.chat.answers import Record
from benchmark.chat.asking import Asker
from benchmark.chat.providers.base import Provider, reading
from benchmark.core.samples import Sample
from benchmark.core.secrets import redact
from benchmark.core.traces import LONGEST, Trace

if TYPE_CHECKING:
    from benchmark.stages.context import Context


def trace(context: Context, sample: Sample, records: Sequence[Record], asker: Asker) -> None:
    """Keep the questions about a sample for tracking, as long as it takes any."""
    for record in records:
        context.trace(partial(of_record, sample, record, asker.provider, asked=asker.asked(record)))


def of_record(sample: Sample, record: Record, provider: Provider, *, asked: bool) -> Trace:
    """Return what is told of one question.

    Args:
        sample: that it is about.
        record: of the question and what came of it.
        provider: of the record.
        asked: whether this run asked it.
    """
    read = None if record.came is None else reading(provider, record.came)
    parts = record.request.get("parts", [])
    state: Literal["answered", "blocked", "truncated", "unreadable", "failed"] = "answered"
    message = None
    if record.failure is not None or read is None:
        state, message = "failed", record.failure
    elif read.blocked or read.unreadable:
        state, message = ("blocked", read.blocked) if read.blocked else ("unreadable", read.unreadable)
    elif read.truncated:
        state, message = "truncated", "the answer ended at the token limit"
    return Trace(
        sample=_kept(sample.id),
        category=_kept(sample.category),
        prompt=_kept("\n\n".join(str(part["text"]) for part in parts if "text" in part)),
        images=tuple(str(part["sha256"]) for part in parts if "sha256" in part),
        answer=None if read is None or read.text is None else _kept(read.text),
        state=state,
        message=None if message is None else _kept(message),
        how="asked" if asked else "batch" if record.software.endswith(" batch") else "stored",
        provider=provider.name,
        model=_kept((read.model_version if read else None) or provider.model),
        prompt_tokens=read.usage.prompt if read else 0,
        output_tokens=read.usage.output if read else 0,
        cost_usd=record.cost_usd,
        latency_s=record.latency_s,
        attempts=record.attempts,
        time=record.time,
    )


def _kept(text: str) -> str:
    return redact(text)[:LONGEST]
