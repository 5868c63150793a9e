"""What the store still lacks for a plan: the expensive entries, in pools that one kind of worker computes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.config.pipeline import Plan
    from benchmark.core.samples import Sample
    from benchmark.stages.context import Context
    from benchmark.stages.stage import Stage


@dataclass(frozen=True)
class Entry:
    """One result that is to be computed, by numbers, so that each process finds it in a plan of its own."""

    stage: int
    """Place in ``stages_of``."""
    sample: int
    """Place in ``samples_of``."""


@dataclass(frozen=True)
class Pool:
    """Entries of stages with one name, none of which rests on another."""

    name: str
    entries: tuple[Entry, ...]

    def first(self) -> tuple[Entry, ...]:
        """Return the first entry of each stage (each category may have its own)."""
        return tuple({entry.stage: entry for entry in reversed(self.entries)}.values())[::-1]


def samples_of(plan: Plan, context: Context) -> Sequence[Sample]:
    """Return what the stages of a plan run on."""
    return plan.samples or context.samples


def stages_of(plan: Plan) -> tuple[Stage, ...]:
    """Return every stage of a plan once by fingerprint, those that others rest on too, each behind what it rests on."""
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for up in stage.upstream:
            add(up)
        found.setdefault(stage.fingerprint, stage)

    for stage in plan.distinct:
        add(stage)
    return tuple(found.values())


def missing_pools(plan: Plan, context: Context) -> list[Pool]:
    """Return what the store lacks, as pools in the order in which they can be computed one after the other.

    An entry is wanted once, however many images have its content; what another stage rests on is wanted only where
    that one is missing. Entries are looked for, not read: one that turns out damaged is computed in the driver. What
    is too large to leave its machine is computed where the stage that rests on it is.
    """
    stages, samples, cache = stages_of(plan), samples_of(plan, context), context.stage_cache
    wanted: dict[str, dict[str, int]] = {stage.fingerprint: {} for stage in stages}
    for place, sample in enumerate(samples):
        for stage in plan.stages.get(sample.category, ()):
            wanted[stage.fingerprint].setdefault(sample.sha256, place)
    pools: dict[tuple[int, str], list[Entry]] = {}
    for number, stage in reversed(list(enumerate(stages))):
        place_of = wanted[stage.fingerprint]
        keys = {content: stage.key(content) for content in place_of}
        stored = cache.present(stage, keys.values())
        missing = {content: place_of[content] for content, key in keys.items() if key not in stored}
        if cache.is_shared(stage):
            entries = [Entry(number, place) for place in missing.values()]
            pools.setdefault((_depth(stage), stage.name), []).extend(entries)
        for up in stage.upstream:
            for content, place in missing.items():
                wanted[up.fingerprint][content] = min(place, wanted[up.fingerprint].get(content, place))
    in_order = {key: tuple(sorted(entries, key=lambda entry: entry.sample)) for key, entries in sorted(pools.items())}
    return [Pool(name, entries) for (_, name), entries in in_order.items() if entries]


def _depth(stage: Stage) -> int:
    """Return how many stages lie one below the other under this one."""
    return 1 + max((_depth(up) for up in stage.upstream), default=-1)


def batches(entries: Sequence[Entry], size: int) -> list[Sequence[Entry]]:
    """Cut entries into stretches of at most ``size``."""
    return [entries[start : start + size] for start in range(0, len(entries), size)]
