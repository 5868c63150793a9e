"""Ask what is not stored yet: bounded concurrency, retries that obey the server, nothing asked twice."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import tenacity
from filelock import FileLock, Timeout

from benchmark.chat.access import Calls
from benchmark.chat.answers import AnswerStore, Record
from benchmark.chat.limits import Budget, Limiter
from benchmark.chat.pricing import Price, cost, cost_at_most
from benchmark.chat.providers.base import CallError, Provider, Raw, reading
from benchmark.chat.question import Draft, Made, Question, SentImage
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.secrets import redact
from benchmark.core.text import counted

log = logging.getLogger(__name__)
LONG = 10
"""A server that asks for more than this many times ``longest_delay_s`` ends the run."""
IMAGE_TOKENS = 1300
"""Guess for one image until the service has said how many tokens a question has."""
VERSION_SUFFIX = re.compile(r"(-\d{3}|-\d{4}-\d{2}-\d{2})?")
"""What a service may append to the name of the very model that was asked."""


@dataclass(kw_only=True, eq=False)
class Asker:
    """Turns drafts into records, from the store or from the model."""

    provider: Provider
    store: AnswerStore
    dataset: str
    """Name, for the records."""
    calls: Calls
    limiter: Limiter
    budget: Budget
    price: Price | None
    """Of the model; None: not known."""
    max_output_tokens: int
    """Most tokens of one answer, for the budget."""
    refresh: bool = False
    """Ask anew what is stored, once in this run."""
    allow_drift: bool = False
    """Accept answers of another model than the one that was asked."""

    def __post_init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.usd = 0.0
        self._facts = self.provider.facts()
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(self.calls.max_concurrency, thread_name_prefix="ask")
        self._process_lock: FileLock | None = None
        self._under_way: dict[str, Future[Record]] = {}
        self._settled: dict[str, Record | None] = {}
        """Keys that this run asked: None where the store has the answer, else the miss."""
        self._begun = False
        self._works = False
        """Whether the model has answered a question with these settings, in this run or an earlier one."""
        self._failures_in_a_row = 0
        self._most_prompt_tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.limiter.stop("the run was stopped")
        self._pool.shutdown(wait=True, cancel_futures=True)  # calls under way end and are kept
        self.provider.close()
        if self._process_lock is not None:
            self._process_lock.release()

    def submit(self, draft: Draft) -> Future[Record]:
        """Return the record of a draft, now or later.

        Raises:
            ConfigError: the key, the address or the name of the model is refused.
            Stop: nothing more may be sent.
        """
        made = draft.made(self._facts)
        with self._lock:
            if made.key in self._under_way:
                self.counted["shared"] += 1
                return self._under_way[made.key]
            stored = self._stored(draft, made)
            if stored is not None:
                self.counted["reused"] += 1
                self._works = self._works or stored.reply is not None
                return _done(self._checked(stored))
            if not self._begun:
                self._begun = True
                self.begin()
            alone = not self._works
            future: Future[Record] = Future()
            self._under_way[made.key] = future

        def work() -> None:
            try:
                future.set_result(self._ask(draft, made))
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self._lock:
                    self._under_way.pop(made.key, None)

        if alone:  # until one is answered: a wrong key or model name is to cost one call, not one for every thread
            work()
            future.result()
        else:
            running = self._pool.submit(work)
            running.add_done_callback(lambda r: future.cancel() if r.cancelled() else None)
        return future

    def _stored(self, draft: Draft, made: Made) -> Record | None:
        if made.key in self._settled:
            return self._settled[made.key] or self.store.get(made.key)
        return None if self.refresh else self._answer(draft, made)

    def answer_to(self, draft: Draft) -> Record | None:
        """Return the stored answer to a draft that a run would take instead of asking; None: it would ask."""
        return None if self.refresh else self._answer(draft, draft.made(self._facts))

    def _answer(self, draft: Draft, made: Made) -> Record | None:
        """Return what the store has and what is an answer, as replies are read today.

        A reply that an earlier version could not read is one where today's reads it; what was taken for an answer
        although the model did nothing is asked again.
        """
        kept = self.store.find(draft, made, "answers")
        if kept is not None and kept.reply is not None:
            return kept if reading(self.provider, kept.reply).is_answer else None
        missed = self.store.find(draft, made, "misses")
        record = None if missed is None else self._read_anew(missed)
        if record is not None:
            self.store.put(record, "answers")
        return record

    def _read_anew(self, missed: Record) -> Record | None:
        """Return a miss as the answer that its last reply is to today's parser; None where it is none."""
        if missed.failure is None or missed.came is None:
            return None
        read = reading(self.provider, missed.came)
        answer = read.is_answer and read.blocked is None
        return missed.model_copy(update={"failure": None}) if answer else None

    def begin(self) -> None:
        """Get ready to spend: key or credentials, and no other process that asks the same model."""
        self.provider.open()
        folder = self.store.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        self._process_lock = FileLock(folder / f"{_file_name(self.provider)}.lock")
        try:
            self._process_lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process asks %s; waiting, as limits are shared", self.provider.model)
            self._process_lock.acquire()

    def _ask(self, draft: Draft, made: Made) -> Record:
        """Get one answer and keep it at once."""
        stored = self._stored(draft, made)  # another process may have asked while this one waited
        if stored is not None:
            self.counted["reused"] += 1
            return self._checked(stored)
        tokens = self._estimate(made.question)
        most = cost_at_most(self.price, tokens, self.max_output_tokens)
        self.budget.reserve(most)
        attempts, start, paid = 0, time.monotonic(), 0.0
        raw: Raw | None = None
        failure: CallError | None = None
        try:
            for attempt in self._attempts():
                with attempt:
                    self.limiter.acquire(tokens)
                    attempts += 1
                    start = time.monotonic()
                    raw = self._call(made.question)
                    paid += self._account(raw)
                    if not reading(self.provider, raw.body).is_answer:
                        raise CallError("the reply holds no answer", kind="server")
        except CallError as error:
            failure = error
        finally:
            latency = time.monotonic() - start
            self.budget.settle(most, paid)
            with self._lock:
                self.counted["attempts"] += attempts
                self.counted["retries"] += max(0, attempts - 1)
        if failure is not None:
            self._explain(failure)
        record = Record(
            key=made.key,
            recipe=draft.recipe,
            request=made.request,
            prepared=made.prepared,
            dataset=self.dataset,
            sample=draft.sample_id,
            body=raw.body if raw else None,
            failure=None if failure is None else f"{redact(str(failure))} (after {counted(attempts, 'attempt')})",
            cost_usd=paid if raw and self.price is not None else None,
            attempts=attempts,
            latency_s=round(latency, 3),
            software=raw.software if raw else "",
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return self._checked(self._keep(record))

    def _keep(self, record: Record) -> Record:
        answered = record.reply is not None and reading(self.provider, record.reply).blocked is None
        if answered and self.refresh:
            for key in {record.key, *self.store.keys_of(record.recipe)}:
                self.store.retire(key)
        self.store.put(record, "answers" if answered else "misses")
        with self._lock:
            self._settled[record.key] = None if answered else record
            failed = record.reply is None
            self.counted["failed" if failed else "answered" if answered else "blocked"] += 1
            self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
            self._works = self._works or not failed
            if self._failures_in_a_row >= self.calls.give_up_after:
                failed_ones = counted(self._failures_in_a_row, "question")
                raise self.limiter.stop(f"{failed_ones} in a row failed, the last one with: {record.failure}")
        return record

    def _call(self, question: Question) -> Raw:
        try:
            return self.provider.ask(question)
        except CallError as error:
            if error.retry_after is not None and error.passing:
                if error.retry_after > LONG * self.calls.longest_delay_s:
                    raise CallError(f"{error} (asks to wait {error.retry_after:.0f} s)", kind="quota") from None
                self.limiter.pause(error.retry_after)
            raise

    def _attempts(self) -> tenacity.Retrying:
        spread = tenacity.wait_random_exponential(multiplier=self.calls.first_delay_s, max=self.calls.longest_delay_s)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, CallError) else None
            return spread(state) if asked is None else asked

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.calls.attempts),
            wait=wait,
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, CallError) and e.passing),
            sleep=self.limiter.sleep,
            reraise=True,
        )

    def _explain(self, failure: CallError) -> None:
        """Raise where a failure is not that of one question alone."""
        if failure.kind == "quota":
            raise self.limiter.stop(f"the quota is used up: {failure}")
        if failure.kind == "refused" or (failure.kind == "denied" and not self._has_answered()):
            self.limiter.stop(str(failure))
            raise ConfigError(f"{self.provider.model} cannot be asked: {redact(str(failure))}")
        if failure.kind == "unreachable" and not self._works:
            self.limiter.stop(str(failure))
            raise BenchmarkError(f"{self.provider.model} cannot be reached: {redact(str(failure))}")

    def _has_answered(self) -> bool:
        """Whether the model is known to answer: then what it denies is one question, not the configuration."""
        self._works = self._works or self.store.holds_any(self.provider.model)
        return self._works

    def _account(self, raw: Raw) -> float:
        usage = reading(self.provider, raw.body).usage
        paid = cost(self.price, usage) or 0.0
        with self._lock:
            self._most_prompt_tokens = max(self._most_prompt_tokens, usage.prompt)
            self.counted["prompt_tokens"] += usage.prompt
            self.counted["output_tokens"] += usage.output
            self.usd += paid
        return paid

    def _estimate(self, question: Question) -> int:
        return max(self._most_prompt_tokens, estimate_tokens(question))

    def _checked(self, record: Record) -> Record:
        """Refuse the answer of a model that was put in the asked one's place."""
        answered = None if record.reply is None else reading(self.provider, record.reply).model_version
        asked = self.provider.model
        same = answered is None or (answered.startswith(asked) and VERSION_SUFFIX.fullmatch(answered[len(asked) :]))
        if same or self.allow_drift:
            return record
        reason = (
            f"{asked} was asked, {answered} answered; the answer is kept, but it is not of the model that the result "
            "names: choose pipeline.provider.model anew, or accept it with pipeline.allow_model_drift=true"
        )
        self.limiter.stop(reason)
        raise ConfigError(reason)

    def asked(self, record: Record) -> bool:
        """Whether this run asked for a record, in place of reading a stored one."""
        return record.key in self._settled

    def counters(self) -> dict[str, float]:
        """Return what happened in this run: calls, tokens, money, and the share of answers that were stored."""
        found = {name: float(number) for name, number in sorted(self.counted.items())}
        asked = sum(self.counted[name] for name in ("answered", "blocked", "failed"))
        if asked + self.counted["reused"]:
            found["hit_rate"] = self.counted["reused"] / (asked + self.counted["reused"])
        return {**found, "spent_usd": round(self.usd, 6)}

    def find(self, draft: Draft) -> Record | None:
        """Return what is recorded for a draft, an answer or a miss, without asking; None where nothing is."""
        keys = self.store.keys_of(draft.recipe)
        found = self._recorded(keys[0]) if len(keys) == 1 else None
        if found is None:
            made = draft.made(self._facts)
            found = self.store.find(draft, made, "answers") or self.store.find(draft, made, "misses")
        if found is None:  # prepared otherwise than today, which a replay does not mind
            found = next((record for key in keys if (record := self._recorded(key)) is not None), None)
        if found is None:
            return None
        self.counted["reused"] += 1
        return self._checked(self._read_anew(found) or found)

    def _recorded(self, key: str) -> Record | None:
        return self.store.get(key) or self.store.get(key, "misses")


def estimate_tokens(question: Question) -> int:
    """Guess the prompt tokens of a question."""
    return sum(IMAGE_TOKENS if isinstance(p, SentImage) else len(p) // 3 + 8 for p in question.parts)


def _done(record: Record) -> Future[Record]:
    future: Future[Record] = Future()
    future.set_result(record)
    return future


def _file_name(provider: Provider) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{provider.name}-{provider.model}")
