"""The batch API of Gemini: half the price, hours of waiting, and restarts that find their jobs again."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from benchmark.chat.answers import AnswerStore, Record
from benchmark.chat.limits import Budget
from benchmark.chat.pricing import Price, cost, cost_at_most
from benchmark.chat.providers.base import CallError, reading
from benchmark.chat.providers.google import Google
from benchmark.chat.providers.google_errors import calls
from benchmark.chat.question import Draft
from benchmark.chat.reply import Unreadable, body_text, object_in, part, word
from benchmark.core.deadline import within
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.secrets import redact
from benchmark.core.settings import Settings
from benchmark.results.files import write_atomically

log = logging.getLogger(__name__)
_KEY = re.compile(r'"key"\s*:\s*"([0-9a-f]{64})"')
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"})
"""States after which nothing more happens (without their prefix)."""
IMAGE_TOKENS = 4000
"""Taken for each image of a question, and for no fewer than two, where the budget is checked."""


SECONDS_A_MB = 10
"""A request file or a result file may take so long for every megabyte of ``max_mb``."""
Result = TypeVar("Result")


class BatchSettings(Settings):
    """Whether questions go through the batch API."""

    mode: Literal["off", "jsonl"]
    max_mb: int = Field(ge=1, le=2000)
    """Largest request file; more questions make more jobs."""
    poll_s: float = Field(gt=0)
    """Seconds between two looks at a job."""


class Job(BaseModel):
    """One job as it lies on disk before it is sent, so that no crash forgets it."""

    model_config = ConfigDict(extra="forbid")
    display_name: str
    """Unique; finds the job when the machine went down between sending and writing its name."""
    name: str | None
    """What the service calls it; None: not known to be sent."""
    model: str
    records: list[Record]
    """One per question, without a response."""


@dataclass(kw_only=True, eq=False)
class Batches:
    """Sends questions as jobs and brings their answers into the store."""

    provider: Google
    store: AnswerStore
    """Where answers go, and below which jobs are remembered."""
    dataset: str
    """Name, for the records."""
    settings: BatchSettings
    price: Price | None
    """Per million tokens; None: not known."""
    factor: float
    """On the price."""
    budget: Budget
    max_output_tokens: int
    """Most tokens of one answer."""
    answered: int = 0
    usd: float = 0.0

    def __post_init__(self) -> None:
        if self.provider.settings.backend != "developer":
            raise ConfigError(
                "pipeline.batch.mode=jsonl needs pipeline.provider.backend=developer: the enterprise API reads "
                "batches from Cloud Storage alone"
            )

    @property
    def folder(self) -> Path:
        """Where jobs are remembered."""
        return self.store.root / "batches"

    def collect(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait for every job of this model that was sent, by this run or an earlier one, and keep its answers.

        Raises:
            BenchmarkError: a job that failed as a whole.
        """
        for path in sorted(self.folder.glob("*.job.json")):
            job = Job.model_validate_json(path.read_bytes())
            if job.model != self.provider.model:
                continue
            if job.name is None:
                job = self._sent(path, job)
            self._wait(path, job, sleep)

    def send(self, drafts: Iterable[Draft]) -> int:
        """Send what the store does not hold, and return how many questions that are."""
        number, most = 0, 0.0
        for records, lines in self._files(drafts):
            most += self.factor * sum(
                cost_at_most(self.price, _most_tokens(record), self.max_output_tokens) for record in records
            )
            self.budget.check(most)  # of all jobs that are under way
            name = f"benchmark-{secrets.token_hex(8)}"
            path = self.folder / f"{name}.job.json"
            job = Job(display_name=name, name=None, model=self.provider.model, records=records)
            write_atomically(path.with_name(f"{name}.jsonl"), "".join(line + "\n" for line in lines).encode())
            write_atomically(path, job.model_dump_json().encode())
            self._sent(path, job)
            number += len(records)
        return number

    def _files(self, drafts: Iterable[Draft]) -> Iterator[tuple[list[Record], list[str]]]:
        """Cut the missing questions into request files of the allowed size."""
        facts, seen = self.provider.facts(), set[str]()
        records: list[Record] = []
        lines: list[str] = []
        size = 0
        for draft in drafts:
            made = draft.made(facts)
            if made.key in seen or self._is_answer(self.store.find(draft, made, "answers")):
                continue
            seen.add(made.key)
            line = json.dumps({"key": made.key, "request": self.provider.batch_request(made.question)})
            if records and size + len(line) > self.settings.max_mb * 1_000_000:
                yield records, lines
                records, lines, size = [], [], 0
            lines.append(line)
            size += len(line) + 1
            records.append(
                Record(
                    key=made.key,
                    recipe=draft.recipe,
                    request=made.request,
                    prepared=made.prepared,
                    dataset=self.dataset,
                    sample=draft.sample_id,
                    failure=None,
                    cost_usd=None,
                    attempts=1,
                    latency_s=0.0,
                    software="batch",
                    time="",
                )
            )
        if records:
            yield records, lines

    def _sent(self, path: Path, job: Job) -> Job:
        """Make sure that the service has the job: it may, if an earlier process stopped in between."""
        client = self.provider.client

        def make() -> list[str | None]:
            known = [b.name for b in client.batches.list() if b.display_name == job.display_name]
            if known:
                return known
            file = client.files.upload(
                file=str(path.with_name(f"{job.display_name}.jsonl")),
                config={"display_name": job.display_name, "mime_type": "application/jsonl"},
            )
            made = client.batches.create(model=job.model, src=str(file.name), config={"display_name": job.display_name})
            return [made.name]

        known = self._served(make, with_file=True)
        named = job.model_copy(update={"name": known[0]})
        write_atomically(path, named.model_dump_json().encode())
        log.warning("batch job %s: %d questions", named.name, len(job.records))
        return named

    def _wait(self, path: Path, job: Job, sleep: Callable[[float], None]) -> None:
        client = self.provider.client
        while True:
            now = self._served(lambda: client.batches.get(name=str(job.name)))
            state = str(now.state.value if now.state else "").removeprefix("JOB_STATE_").removeprefix("BATCH_STATE_")
            if state in ENDED:
                break
            sleep(self.settings.poll_s)
        file = now.dest.file_name if now.dest else None
        content = b""
        if file:
            content = self._served(lambda: client.files.download(file=file), with_file=True)
        elif state in ("FAILED", "CANCELLED"):
            reason = redact(str(now.error.message if now.error else "no reason given"))
            self._forget(path, job)
            raise BenchmarkError(f"batch job {job.name} ended as {state}: {reason}; the same command sends it anew")
        self._keep(job, content, state)
        self._forget(path, job)

    def _served(self, call: Callable[[], Result], *, with_file: bool = False) -> Result:
        """Make calls to the service within the time for one; says of those that fail that the job is not lost."""
        seconds = self.provider.settings.access.timeout_s + (with_file * self.settings.max_mb * SECONDS_A_MB)
        try:
            with calls():
                return within(seconds, call)
        except CallError as error:
            failure = f"the batch API: {error}; the job is remembered, run the same command again"
        raise BenchmarkError(failure)

    def _keep(self, job: Job, content: bytes, state: str) -> None:
        """Bring every line of a result file into the store as it came; a question without an answer becomes a miss."""
        from google.genai import __version__

        lines = dict(_lines(content))
        for record in job.records:
            if self._is_answer(self.store.get(record.key)):
                continue  # kept before this process was stopped
            body = lines.get(record.key)
            changes: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
            blocked = None
            if body is not None:
                read = reading(self.provider, body)
                blocked, paid = read.blocked, cost(self.price, read.usage, factor=self.factor)
                changes |= {"body": body, "cost_usd": paid, "software": f"google-genai {__version__} batch"}
                self.budget.settle(0.0, paid or 0.0)
                self.usd += paid or 0.0
                self.answered += read.is_answer
            if body is None or not read.is_answer:
                changes["failure"] = _reason(body) or f"no answer in a job that ended as {state}"
            done = record.model_copy(update=changes)
            self.store.put(done, "answers" if done.reply is not None and blocked is None else "misses")

    def _is_answer(self, kept: Record | None) -> bool:
        return kept is not None and kept.reply is not None and reading(self.provider, kept.reply).is_answer

    def _forget(self, path: Path, job: Job) -> None:
        path.with_name(f"{job.display_name}.jsonl").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _most_tokens(record: Record) -> int:
    return IMAGE_TOKENS * max(2, sum("image" in part for part in record.request["parts"]))


def _lines(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the key of every line and the line; lines end at a newline alone, not at a separator inside of a text."""
    for line in content.split(b"\n"):
        body = body_text(line)
        try:
            key = word(part(object_in(body), "key"))
        except Unreadable:  # the answer in it; the key stands beside that
            named = _KEY.search(body)
            key = named[1] if named else None
        if key is not None:
            yield key, body


def _reason(body: str | None) -> str | None:
    """Return why the service says that it did not answer a line."""
    try:
        error = part(object_in(body or ""), "error")
    except Unreadable:
        return None
    message = word(part(error, "message"))
    return redact(message) if message else None
