"""Run through the samples of a run in order: ask, replay, wait for a batch, or only estimate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.chat.answers import Record
from benchmark.chat.asking import Asker, estimate_tokens
from benchmark.chat.pricing import cost
from benchmark.chat.providers.base import CallError
from benchmark.chat.question import Draft, digest
from benchmark.chat.verdict import Usage
from benchmark.core.errors import ConfigError, DataError, DryRun
from benchmark.core.samples import Sample
from benchmark.data.images import load_image

SHOWN = 10
Answered = tuple[Sample, list[Record]]
Image = NDArray[np.uint8]


class Drafts(Protocol):
    """What makes the questions about samples."""

    def drafts(self, sample: Sample, decode: Callable[[], Image]) -> list[Draft]:
        """Return the questions about a sample, whose image ``decode`` returns."""
        ...

    def all(
        self, images: Iterable[tuple[Sample, Image]], *, unusable: Callable[[Sample, DataError], None]
    ) -> Iterator[tuple[Sample, list[Draft]]]:
        """Yield every sample with its drafts, its image prepared; ``unusable`` is told of those that cannot be."""
        ...


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
    samples: Sequence[Sample], drafter: Drafts, asker: Asker, *, unusable: Callable[[Sample, DataError], None]
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
            f"{asker.store.root} has no answer of {asker.provider.model} for {len(missing)} of {len(samples)} images: "
            f"{', '.join(missing[:SHOWN])}{more}; import them (python -m benchmark answers import FILE), "
            "or ask the model with pipeline.answers.mode=auto"
        )


def estimate(items: Iterable[tuple[Sample, list[Draft]]], asker: Asker, *, output_tokens: int) -> DryRun:
    """Return what a run would ask and cost; nothing is asked beyond a free count of tokens.

    Args:
        items: samples with their drafts.
        asker: of the run.
        output_tokens: expected for each answer, thinking included.
    """
    stored = missing = 0
    first: Draft | None = None
    guess = 0
    for _, drafts in items:
        for draft in drafts:
            question, _ = draft.make()
            if asker.store.get(digest(question.facts(asker.provider.facts()))) is not None:
                stored += 1
                continue
            missing += 1
            first, guess = first or draft, guess or estimate_tokens(question)
    prompt, how = guess, "guessed"
    if first is not None:
        try:
            asker.provider.open()
            counted = asker.provider.count_tokens(first.make()[0])
            prompt, how = (counted, "counted by the service") if counted is not None else (prompt, how)
        except (ConfigError, CallError):
            how = "guessed, as the service cannot be asked"
    usage = Usage(prompt=prompt * missing, output=output_tokens * missing)
    usd = cost(asker.price, usage)
    price = "no price is known" if usd is None else f"about {usd:.2f} USD"
    return DryRun(
        f"dry run: {stored} answers are stored, {missing} questions would be asked of {asker.provider.model}: "
        f"{usage.prompt} prompt tokens ({prompt} each, {how}), {usage.output} output tokens "
        f"({output_tokens} each, assumed), {price}"
    )
