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


def samples_of(plan: Plan, context: Context) -> tuple[Sample, ...]:
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
    that one is missing. Entries are looked for, not read: one that turns out damaged is computed in the driver.
    """
    number = {stage.fingerprint: place for place, stage in enumerate(stages_of(plan))}
    wanted: dict[tuple[int, str], dict[tuple[str, str], Entry]] = {}

    def want(stage: Stage, place: int, sha256: str) -> None:
        pool = wanted.setdefault((_depth(stage), stage.name), {})
        identity = (stage.fingerprint, sha256)
        if identity in pool or context.stage_cache.has(stage, stage.key(sha256)):
            return
        pool[identity] = Entry(number[stage.fingerprint], place)
        for up in stage.upstream:
            want(up, place, sha256)

    for place, sample in enumerate(samples_of(plan, context)):
        for stage in plan.stages.get(sample.category, ()):
            want(stage, place, sample.sha256)
    return [Pool(name, tuple(pool.values())) for (_, name), pool in sorted(wanted.items()) if pool]


def _depth(stage: Stage) -> int:
    """Return how many stages lie one below the other under this one."""
    return 1 + max((_depth(up) for up in stage.upstream), default=-1)


def batches(entries: Sequence[Entry], size: int) -> list[Sequence[Entry]]:
    """Cut entries into stretches of at most ``size``."""
    return [entries[start : start + size] for start in range(0, len(entries), size)]
