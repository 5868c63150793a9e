"""``run.engine=ray``: Ray Data fills the store, one pool of actors a stage; the driver scores as ever."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.schema import RaySettings, RunConfig
from benchmark.core import errors
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.text import counted
from benchmark.running.pools import Entry, Pool, batches, missing_pools, samples_of, stages_of
from benchmark.running.ray_connection import connected
from benchmark.running.ray_worker import MOST_ATTEMPTS, Attempts, Job, Prepare, StageWorker
from benchmark.stages.stage_cache import StageStats
from benchmark.tracking import NoTracking

if TYPE_CHECKING:
    from benchmark.config.pipeline import Plan
    from benchmark.core.samples import Sample
    from benchmark.stages.context import Context

log = logging.getLogger(__name__)


def fill_store(config: RunConfig, plan: Plan, context: Context, prepare: Prepare) -> None:
    """Compute what the store lacks for a plan, in actors; does not start Ray where nothing is missing.

    Entries lie under the keys that one process gives them, so that a lost node, a retry or work that was done twice
    changes nothing. Images that failed (``run.on_error=record``) are tried once more where they are predicted.

    Args:
        config: the typed settings.
        plan: the driver's.
        context: gets the actors' counts and notes.
        prepare: makes the plan and its context anew in an actor; a function of a module.

    Raises:
        ConfigError: Ray is not installed, or cannot be reached, or lacks what the actors want.
        BenchmarkError: what a stage raised (``run.on_error=stop``); or a batch ended process after process, or Ray
            gave up.
    """
    if find_spec("ray") is None:
        raise ConfigError(
            "run.engine=ray: Ray is not installed; install the extra: pip install 'fm-defect-bench[ray]', or leave "
            "run.engine out"
        )
    pools = missing_pools(plan, context)
    if not pools:
        return
    settings = config.run.ray
    if context.on_progress is not None:
        context.on_progress("Ray starts", 0, sum(len(pool.entries) for pool in pools), 0)
    with connected(settings):
        import ray

        try:
            _compute(config, plan, context, prepare, pools)
        except ray.exceptions.RayError as error:
            raise BenchmarkError(
                f"run.engine=ray: Ray gave up ({_last_line(error)}); what is stored is kept, and the same command goes "
                "on"
            ) from error
    context.refresh = False  # what the actors have written anew is not to be computed once more


def _compute(config: RunConfig, plan: Plan, context: Context, prepare: Prepare, pools: Sequence[Pool]) -> None:
    """Compute pools one after the other on the Ray that is connected; raises as ``fill_store``, and what Ray does."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    _tell_of_places(config)
    settings, samples = config.run.ray, samples_of(plan, context)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    attempts = ray.remote(Attempts).options(num_cpus=0, scheduling_strategy=here).remote()
    shared = {"job": ray.put(_job(config, plan, context, prepare)), "attempts": attempts}
    failed: set[int] = set()
    settled: frozenset[str] = frozenset()
    for pool in pools:
        left = Pool(pool.name, tuple(entry for entry in pool.entries if entry.sample not in failed))
        work = _Work(settings, context, samples, shared, left)
        if config.pipeline.learns() is not None and settings.actors[1] > 1:
            # What is learnt from training images is learnt once a category, not in every actor at the same time.
            first = dict.fromkeys(left.first())
            failed |= work.run(list(first), settled, size=1)
            settled |= work.names - {pool.name}
            left = Pool(pool.name, tuple(entry for entry in left.entries if entry not in first))
        failed |= work.run(left.entries, settled, size=settings.batch)
        settled |= {pool.name}


def _last_line(error: Exception) -> str:
    """Return what Ray says at last, behind the stacks of other processes."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


class _Work:
    """The entries of one pool on their way through its actors."""

    def __init__(
        self,
        settings: RaySettings,
        context: Context,
        samples: Sequence[Sample],
        shared: Mapping[str, Any],
        pool: Pool,
    ) -> None:
        self._settings, self._context, self._samples = settings, context, samples
        self._shared, self._pool = shared, pool
        self._done = 0
        self._lost = False
        self.names: frozenset[str] = frozenset()
        """Stages that the actors have computed something of."""

    def run(self, entries: Sequence[Entry], settled: frozenset[str], *, size: int) -> set[int]:
        """Compute entries, ``size`` a task; returns the samples that failed."""
        import pyarrow as pa
        import ray

        if not entries:
            return set()
        stretches = batches(entries, size)
        tables = [pa.table({"stage": [e.stage for e in s], "sample": [e.sample for e in s]}) for s in stretches]
        fewest, most = self._settings.actors
        most = min(most, len(stretches))
        results = ray.data.from_arrow(tables).map_batches(
            StageWorker,
            fn_constructor_kwargs={**self._shared, "fetch": ray.get, "settled": settled},
            batch_size=size,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=min(fewest, most), max_size=most),
            num_cpus=1,
            num_gpus=self._settings.gpus,
        )
        failed: set[int] = set()
        for batch in results.iter_batches(batch_size=None, batch_format="numpy"):
            self._take(batch)
            failed.update(batch["sample"][batch["failed"]].tolist())
        return failed

    def _take(self, batch: Any) -> None:
        """Add what actors counted and told to the driver's context."""
        context = self._context
        for first, report in (
            (s, json.loads(text)) for s, text in zip(batch["sample"], batch["told"], strict=True) if text
        ):
            if "error" in report:
                kind, text = report["error"]
                raise getattr(errors, kind, BenchmarkError)(text)
            if report["begun"] > MOST_ATTEMPTS:
                raise BenchmarkError(
                    f"stage {self._pool.name!r}: {MOST_ATTEMPTS} processes ended over the "
                    f"{counted(len(batch['sample']), 'image')} from {self._samples[first].image} on; where memory ran "
                    "out, give run.ray.batch or run.ray.actors smaller numbers; what is stored is kept"
                )
            if report["begun"] > 1 and not self._lost:
                self._lost = True
                log.warning("a Ray process or node was lost; its images of stage %s are begun again", self._pool.name)
            for name, found in report["stats"].items():
                self.names |= {name}
                stats = context.stats.setdefault(name, StageStats())
                stats.computed += found["computed"]
                stats.elsewhere += found["computed"]
                stats.dropped_corrupt += found["dropped_corrupt"]
                stats.seconds += found["seconds"]
            for name, value in report["counters"].items():
                context.counters[name] = context.counters.get(name, 0.0) + value
            context.tell(*report["notes"])
        self._done += len(batch["sample"])
        if context.on_progress is not None:
            context.on_progress(f"{self._pool.name} on Ray", self._done, len(self._pool.entries), 0)


def _job(config: RunConfig, plan: Plan, context: Context, prepare: Prepare) -> Job:
    """Describe the run to actors: an actor takes the GPU that Ray gives it, and none where it gives none."""
    device = "auto" if config.run.ray.gpus and config.run.device != "cpu" else "cpu"
    run = config.run.model_copy(update={"device": device, "on_error": context.on_error})
    return Job(
        config=replace(config, run=run, tracking=NoTracking()),  # whose address may hold a password
        manifest=context.manifest,
        samples=context.samples,
        prepare=prepare,
        fingerprints=tuple(stage.fingerprint for stage in stages_of(plan)),
        folder=Path.cwd(),
        host=socket.gethostname(),
    )


def _tell_of_places(config: RunConfig) -> None:
    """Warn where several nodes are given a store that may be a folder of this machine alone."""
    import ray

    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    if nodes > 1 and isinstance(config.run.cache_root, Path):
        log.warning(
            "the stage store %s is a folder: all %d Ray nodes must see it there, and the images too; an object store "
            "as run.cache_root needs no shared folder",
            config.run.cache_root,
            nodes,
        )
