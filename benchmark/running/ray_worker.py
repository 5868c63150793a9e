"""What one Ray actor does: plan as the driver did, compute batches of one stage into the store, say how it went."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.config.schema import RunConfig
from benchmark.core.errors import BenchmarkError, ConfigError, told
from benchmark.core.secrets import redact
from benchmark.running.pools import samples_of, stages_of

if TYPE_CHECKING:
    from benchmark.config.pipeline import Plan
    from benchmark.core.samples import Manifest, Sample
    from benchmark.stages.context import Context

Prepare = Callable[["RunConfig", "Manifest", "Sequence[Sample]"], "tuple[Plan, Context]"]
Batch = Mapping[str, Any]
"""Columns ``stage`` and ``sample``, (N,) integers: the entries that are wanted."""

MOST_ATTEMPTS = 4
"""Ray begins a batch again when its process or node is lost; one that kills its processes is given up after so many."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that an actor needs to plan what the driver planned; sent once and shared by the actors of a node."""

    config: RunConfig
    manifest: Manifest
    samples: Sequence[Sample]
    prepare: Prepare
    fingerprints: tuple[str, ...]
    """Of the driver's stages."""
    folder: Path
    """Working folder of the driver, for paths that are relative to it."""
    host: str
    """Name of the driver's machine."""


class Attempts:
    """How often each batch was begun, kept where a worker that dies cannot take it along."""

    def __init__(self) -> None:
        self._begun: Counter[tuple[int, int]] = Counter()

    def begin(self, batch: tuple[int, int]) -> int:
        """Count one more attempt at a batch, named by its first entry; returns which one it is, from 1."""
        self._begun[batch] += 1
        return self._begun[batch]


class StageWorker:
    """Computes batches of one stage; models are loaded at the first one and stay.

    Args:
        job: a reference to the ``Job``.
        attempts: a handle of the ``Attempts`` of all workers.
        fetch: returns what a reference stands for (``ray.get``).
        settled: names of stages that ``run.overwrite=always`` has computed anew already.
    """

    def __init__(self, *, job: Any, attempts: Any, fetch: Callable[[Any], Any], settled: frozenset[str]) -> None:
        self._job, self._attempts, self._fetch = job, attempts, fetch
        self._settled = settled
        self._prepared: tuple[Plan, Context] | None = None
        self._is_beside_driver = False

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Put the entries of a batch into the store.

        Returns:
            ``sample`` (N,) and ``failed`` (N,) bool: the images that have none; ``told`` (N,): in the first row (JSON)
            the number of attempts (``begun``) and what was counted and told, nothing where there were too many; or the
            error that ends the run (``error``: class and text).
        """
        stages, samples = np.asarray(batch["stage"]), np.asarray(batch["sample"])
        failed = np.zeros(len(samples), dtype=bool)
        # Counted first, as loading networks may be what ends a process.
        begun = self._fetch(self._attempts.begin.remote((int(stages[0]), int(samples[0]))))
        report: dict[str, Any] = {"begun": begun}
        try:
            if begun <= MOST_ATTEMPTS:
                report |= self._compute(stages, samples, failed)
        except BenchmarkError as error:
            where = "" if self._is_beside_driver else f"on the Ray node {socket.gethostname()}: "
            report["error"] = [type(error).__name__, redact(f"{where}{error}")]
        except Exception as error:
            fix = "; every node needs the same packages" if isinstance(error, ImportError) else ""
            text = f"on the Ray node {socket.gethostname()}: {told(error)}{fix}"
            report["error"] = [BenchmarkError.__name__, redact(text)]
        column = np.array([json.dumps(report), *[""] * (len(samples) - 1)], dtype=object)
        return {"sample": samples, "failed": failed, "told": column}

    def _compute(self, stages: Any, samples: Any, failed: Any) -> dict[str, Any]:
        if self._prepared is None:
            self._prepared = self._plan()
        plan, context = self._prepared
        given, known = samples_of(plan, context), stages_of(plan)
        context.failed.clear()
        context.stats.clear()
        context.counters.clear()
        context.notes.clear()
        for number in dict.fromkeys(stages.tolist()):
            for _ in context.run(known[number], [given[place] for place in samples[stages == number]]):
                pass
        failed[:] = [given[place].id in context.failed for place in samples]
        return {
            "stats": {
                name: {"computed": s.computed, "dropped_corrupt": s.dropped_corrupt, "seconds": s.seconds}
                for name, s in context.stats.items()
            },
            "counters": context.counters,
            "notes": context.notes,
        }

    def _plan(self) -> tuple[Plan, Context]:
        job: Job = self._fetch(self._job)
        with contextlib.suppress(OSError):  # a node that does not share the folder
            os.chdir(job.folder)
        job.config.run.tell_cache()
        plan, context = job.prepare(job.config, job.manifest, job.samples)
        if tuple(stage.fingerprint for stage in stages_of(plan)) != job.fingerprints:
            raise ConfigError(
                "the same settings plan other stages than in the driver; install the same version of this package on "
                "every node, with the same weights and files"
            )
        context.stage_cache.settled = self._settled
        self._is_beside_driver = socket.gethostname() == job.host
        return plan, context
