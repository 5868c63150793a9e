"""Turn samples into stage results, in order: read what is stored, compute the rest in batches."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmark.core.errors import ConfigError, StoreError, WeightsError
from benchmark.core.exhausted import out_of_memory
from benchmark.core.samples import Sample
from benchmark.stages.codec import Artifact
from benchmark.stages.prefetch import Image, Prefetcher
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.stage_cache import StageCache

log = logging.getLogger(__name__)
FATAL = (ConfigError, StoreError, WeightsError)
"""Errors that every image would meet alike: they end the run whatever ``on_error`` says."""


@dataclass(frozen=True)
class Failure:
    """Why one image has no result."""

    stage: str
    error: Exception


@dataclass(frozen=True)
class Result:
    """What a stage has for one image: an artifact or a failure."""

    artifact: Artifact | None = None
    failure: Failure | None = None
    reused: bool = False


@dataclass(eq=False)
class Item:
    """One image content on its way through the stages."""

    sample: Sample
    """The first sample that has this content."""
    image: Image
    results: dict[str, Result] = field(default_factory=dict)
    """By stage fingerprint."""


def stream(
    cache: StageCache, stages: Sequence[Stage], samples: Sequence[Sample], prefetcher: Prefetcher
) -> Iterator[tuple[Sample, list[Result]]]:
    """Yield each sample with its result of every stage, in order.

    Looks ahead only behind an image that has to be computed, and then no further than one group of
    batches and the images that the threads decode meanwhile: this bounds the memory.
    """
    queue: deque[tuple[Sample, Item, bool]] = deque()
    live: Counter[Item] = Counter()
    by_content: dict[str, Item] = {}
    waiting: deque[Item] = deque()
    left = _fetched(cache, stages, samples)
    while True:
        while not (queue and _done(queue[0][1], stages)):
            group = cache.batching.widest(stages) if waiting else 1
            ahead = max(2 * prefetcher.workers, group) if prefetcher.workers else 0
            if len(waiting) >= group + ahead or len(queue) >= 2 * (group + ahead):
                break
            sample = next(left, None)
            if sample is None:
                break
            item = by_content.get(sample.sha256)
            shared = item is not None
            if item is None:
                item = by_content[sample.sha256] = Item(sample, prefetcher.image(sample))
                if not _read_all(cache, stages, item):
                    waiting.append(item)
            queue.append((sample, item, shared))
            live[item] += 1
        if not queue:
            return
        if not _done(queue[0][1], stages):
            chosen = [waiting.popleft() for _ in range(min(group, len(waiting)))]
            for stage in stages:
                compute(cache, stage, [item for item in chosen if stage.fingerprint not in item.results])
            for item in chosen:  # only what is yielded stays in memory until its turn comes
                item.image.forget()
                item.results = {stage.fingerprint: item.results[stage.fingerprint] for stage in stages}
        sample, item, shared = queue.popleft()
        live[item] -= 1
        if not live[item]:
            del live[item], by_content[item.sample.sha256]
        results = [item.results[stage.fingerprint] for stage in stages]
        if shared:
            results = [Result(result.artifact, result.failure, reused=True) for result in results]
            for stage, result in zip(stages, results, strict=True):
                cache.stage_stats(stage).reused += result.artifact is not None
        yield sample, results


def _fetched(cache: StageCache, stages: Sequence[Stage], samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the samples; what a store elsewhere holds of them is read many at a time, just before."""
    step = cache.store.look_ahead
    for start in range(0, len(samples), step):
        chosen = samples[start : start + step]
        if step > 1:
            cache.fetch(stages, list(dict.fromkeys(sample.sha256 for sample in chosen)))
        yield from chosen


def _done(item: Item, stages: Sequence[Stage]) -> bool:
    return all(stage.fingerprint in item.results for stage in stages)


def _read_all(cache: StageCache, stages: Sequence[Stage], item: Item) -> bool:
    """Read what is stored; start to decode the image if something has to be computed from it."""
    missing = [stage for stage in stages if not _read(cache, stage, item)]
    if any(_wants_image(cache, stage, item) for stage in missing):
        item.image.start()
    return not missing


def _read(cache: StageCache, stage: Stage, item: Item) -> bool:
    """Take the stored result of a stage, if there is one."""
    if stage.fingerprint in item.results:
        return True
    artifact = cache.stored(stage, stage.key(item.sample.sha256))
    if artifact is None:
        return False
    cache.stage_stats(stage).reused += 1
    item.results[stage.fingerprint] = Result(artifact, reused=True)
    return True


def _wants_image(cache: StageCache, stage: Stage, item: Item) -> bool:
    """Say whether computing this stage will need the decoded image, for itself or for a missing upstream stage."""
    return stage.needs_image or any(
        not cache.has(up, up.key(item.sample.sha256)) and _wants_image(cache, up, item) for up in stage.upstream
    )


def compute(cache: StageCache, stage: Stage, items: Sequence[Item]) -> None:
    """Compute a stage for items that lack it, upstream stages first; every item gets a result or a failure."""
    if not items:
        return
    for up in stage.upstream:
        compute(cache, up, [item for item in items if not _read(cache, up, item)])
    ready: list[tuple[Item, Inputs]] = []
    for item in items:
        inputs = _inputs(cache, stage, item)
        if isinstance(inputs, Failure):
            item.results[stage.fingerprint] = Result(failure=inputs)
        else:
            ready.append((item, inputs))
    while ready:
        size = cache.batching.size(stage)
        if _batch(cache, stage, ready[:size]):
            del ready[:size]


def _inputs(cache: StageCache, stage: Stage, item: Item) -> Inputs | Failure:
    """Gather what the stage computes from, or the first failure on the way there."""
    upstream: dict[str, Artifact] = {}
    for up in stage.upstream:
        result = item.results[up.fingerprint]
        if result.artifact is None:
            assert result.failure is not None
            return result.failure
        upstream[up.name] = result.artifact
    if not stage.needs_image:
        return Inputs(item.sample, None, upstream)
    start = time.perf_counter()
    try:
        return Inputs(item.sample, item.image.get(), upstream)
    except Exception as error:
        return Failure("decoding", error)
    finally:
        cache.stage_stats(stage).waiting += time.perf_counter() - start


def _batch(cache: StageCache, stage: Stage, batch: Sequence[tuple[Item, Inputs]]) -> bool:
    """Compute and store one batch; when it fails, try its images one by one.

    Returns:
        False where memory ran out with several images: nothing was computed, and ``Batching.size`` is smaller now.
    """
    try:
        artifacts = cache.compute(stage, [inputs for _, inputs in batch])
    except FATAL:
        raise
    except Exception as error:
        if len(batch) == 1:
            batch[0][0].results[stage.fingerprint] = Result(failure=Failure(stage.name, error))
            return True
        exhausted, reason = out_of_memory(error) is not None, str(error)
    else:
        for (item, _), artifact in zip(batch, artifacts, strict=True):
            cache.keep(stage, stage.key(item.sample.sha256), artifact)
            item.results[stage.fingerprint] = Result(artifact)
        return True
    if exhausted:  # the error is forgotten here, and with it the tensors that its traceback held
        cache.batching.halve(stage, len(batch))
        return False
    log.warning("stage %s: a batch of %d images failed (%s); trying one by one", stage.name, len(batch), reason)
    for one in batch:
        _batch(cache, stage, [one])
    return True
