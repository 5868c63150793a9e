"""Run through the samples of a run in order: ask, replay, wait for a batch, or only estimate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from benchmark.chat.answers import Record
from benchmark.chat.asking import Asker, estimate_tokens
from benchmark.chat.limits import Stop
from benchmark.chat.pricing import cost
from benchmark.chat.providers.base import CallError
from benchmark.chat.question import Draft, Question
from benchmark.chat.verdict import Usage
from benchmark.core.errors import BenchmarkError, ConfigError, DataError, DryRun
from benchmark.core.samples import Sample
from benchmark.core.text import counted
from benchmark.data.images import load_image
from benchmark.pipelines.vlm.drafts import Drafter
from benchmark.stages.context import Context

SHOWN = 10
Answered = tuple[Sample, list[Record]]


def ask(items: Iterable[tuple[Sample, list[Draft]]], asker: Asker) -> Iterator[Answered]:
    """Yield every sample with its records, in order; at most a few images a thread are under way.

    Raises:
        Stop: nothing more may be sent; what was answered is kept.
    """
    queue: deque[tuple[Sample, list[Future[Record]]]] = deque()
    ahead = 2 * asker.calls.max_concurrency
    for sample, drafts in items:
        queue.append((sample, [asker.submit(draft) for draft in drafts]))
        while len(queue) > ahead:
            first, futures = queue.popleft()
            yield first, [future.result() for future in futures]
    while queue:
        first, futures = queue.popleft()
        yield first, [future.result() for future in futures]


def replay(
    samples: Sequence[Sample], drafter: Drafter, asker: Asker, *, unusable: Callable[[Sample, DataError], None]
) -> Iterator[Answered]:
    """Yield every sample with its stored records, asking nothing.

    Args:
        samples: in order.
        drafter: makes their questions.
        asker: of the run.
        unusable: told of a sample whose image cannot be read or prepared; raises where that ends the run.

    Raises:
        DataError: samples without a stored answer; ten of them are named.
    """
    missing: list[str] = []
    for sample in samples:
        try:
            records = [
                asker.find(draft) for draft in drafter.drafts(sample, partial(load_image, sample.image, sample.reading))
            ]
        except DataError as error:
            unusable(sample, error)
            continue
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            missing.append(sample.id)
        elif not missing:
            yield sample, known
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise DataError(
            f"{asker.store.root} has no answer of {asker.provider.model} for {len(missing)} of "
            f"{counted(len(samples), 'image')}: "
            f"{', '.join(missing[:SHOWN])}{more}; import them (python -m benchmark answers import FILE), "
            "or ask the model with pipeline.answers.mode=auto"
        )


def estimate(
    items: Iterable[tuple[Sample, list[Draft]]], asker: Asker, drafter: Drafter, *, output_tokens: int
) -> DryRun:
    """Return what a run would ask and cost, and what of it is for references; nothing is asked beyond free counts.

    Args:
        items: samples with their drafts.
        asker: of the run.
        drafter: makes the same question without its references.
        output_tokens: expected for each answer, thinking included.
    """
    stored = missing = 0
    different: set[tuple[str, int]] = set()
    first: tuple[Sample, int, Question] | None = None
    for sample, drafts in items:
        for at, draft in enumerate(drafts):
            if asker.answer_to(draft) is not None:
                stored += 1
                continue
            missing += 1
            different.add((sample.id, at // drafter.draws))  # the draws of a question stand side by side
            first = first or (sample, at, draft.make()[0])
    prompt, how, of_references = 0, "guessed", ""
    if first is not None:
        sample, at, question = first
        image = partial(load_image, sample.image, sample.reading)
        without = replace(drafter, shown=False).drafts(sample, image)[at].make()[0]
        (prompt, bare), how = _tokens(asker, question, without)
        if number := len(drafter.references(sample)) * drafter.shown:
            part = cost(asker.price, Usage(prompt=(prompt - bare) * missing))
            price = "" if part is None else f", about {part:.2f} USD"
            of_references = f"; of these, {prompt - bare} prompt tokens each are for references ({number} shown){price}"
    usage = Usage(prompt=prompt * missing, output=output_tokens * missing)
    usd = cost(asker.price, usage)
    price = "no price is known" if usd is None else f"about {usd:.2f} USD"
    asked = _asked(missing, len(different), drafter.draws, model=asker.provider.model)
    return DryRun(
        f"dry run: {counted(stored, 'answer is', 'answers are')} stored, {asked}: "
        f"{usage.prompt} prompt tokens ({prompt} each, {how}), {usage.output} output tokens "
        f"({output_tokens} each, assumed), {price}{of_references}"
    )


def _asked(calls: int, questions: int, draws: int, *, model: str) -> str:
    """Say how many calls a run would make: with several draws each question is asked again, and paid, as often."""
    if draws == 1:
        return f"{counted(calls, 'question')} would be asked of {model}"
    asked = counted(questions, "question")
    return f"{counted(calls, 'call')} of {model} would be made, for {asked} of up to {draws} draws each"


def _tokens(asker: Asker, *questions: Question) -> tuple[list[int], str]:
    """Return the tokens of questions, and how they are known."""
    guessed = [estimate_tokens(question) for question in questions]
    try:
        asker.provider.open()
        told = [asker.provider.count_tokens(question) for question in questions]
    except (ConfigError, CallError):
        return guessed, "guessed, as the service cannot be asked"
    known = [n for n in told if n is not None]
    return (known, "counted by the service") if len(known) == len(questions) else (guessed, "guessed")


@contextmanager
def stopping(context: Context, asker: Asker) -> Iterator[None]:
    """Say what is kept where a quota, the budget or a dead service ends the run, and count what was done."""
    try:
        yield
    except Stop as stop:
        kept = asker.counted["reused"] + asker.counted["answered"]
        raise BenchmarkError(
            f"stopped: {stop}. {counted(kept, 'answer')} about {counted(len(context.samples), 'image')} "
            f"kept; the same command goes on "
            "from there"
        ) from None
    finally:
        context.counters.update({f"vlm/{name}": value for name, value in asker.counters().items()})
