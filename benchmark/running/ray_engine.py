"""``run.engine=ray``: Ray Data fills the store, one pool of actors a stage; the driver scores as ever."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.schema import RaySettings, RunConfig
from benchmark.core import errors
from benchmark.core.errors import BenchmarkError, ConfigError, reason
from benchmark.core.text import counted
from benchmark.running.pools import Entry, Pool, batches, missing_pools, stages_of
from benchmark.running.ray_worker import Attempts, Job, Prepare, StageWorker
from benchmark.stages.stage_cache import StageStats
from benchmark.tracking import NoTracking

if TYPE_CHECKING:
    from benchmark.config.pipeline import Plan
    from benchmark.stages.context import Context

log = logging.getLogger(__name__)
CONNECT_SECONDS = 10.0
SETTINGS = b"\x04"
"""Type of the frame that both sides of a connection by HTTP/2, as Ray's, begin with (RFC 9113, 3.4)."""
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + SETTINGS + b"\x00\x00\x00\x00\x00"
LONGEST_FOLDER = 45
"""Characters of a folder of which Ray can make the name of a socket; without one it takes /tmp/ray."""
LOCAL_BYTES = 2**29
"""Shared memory of a Ray of our own: rows and the manifest pass through it, images and artifacts never do."""


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
        BenchmarkError: what a stage raised (``run.on_error=stop``); or a batch ended process after process.
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
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        _tell_of_places(config)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        attempts = ray.remote(Attempts).options(num_cpus=0, scheduling_strategy=here).remote()
        shared = {"job": ray.put(_job(config, plan, context, prepare)), "attempts": attempts}
        failed: set[int] = set()
        settled: frozenset[str] = frozenset()
        for pool in pools:
            left = Pool(pool.name, tuple(entry for entry in pool.entries if entry.sample not in failed))
            work = _Work(settings, context, shared, left)
            if config.pipeline.learns() is not None and settings.actors[1] > 1:
                # What is learnt from training images is learnt once a category, not in every actor at the same time.
                first = dict.fromkeys(left.first())
                failed |= work.run(list(first), settled, size=1)
                settled |= work.names - {pool.name}
                left = Pool(pool.name, tuple(entry for entry in left.entries if entry not in first))
            failed |= work.run(left.entries, settled, size=settings.batch)
            settled |= {pool.name}
    context.refresh = False  # what the actors have written anew is not to be computed once more


class _Work:
    """The entries of one pool on their way through its actors."""

    def __init__(self, settings: RaySettings, context: Context, shared: Mapping[str, Any], pool: Pool) -> None:
        self._settings, self._context, self._shared, self._pool = settings, context, shared, pool
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
        for report in (json.loads(text) for text in batch["told"] if text):
            if "error" in report:
                kind, text = report["error"]
                raise getattr(errors, kind, BenchmarkError)(text)
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
    )


@contextlib.contextmanager
def connected(settings: RaySettings) -> Iterator[None]:
    """Start a Ray of our own or connect to a cluster, quietly; leave it, or end it, however the block ends.

    Raises:
        ConfigError: it cannot be started or reached, or has too few processors or GPUs for the fewest actors.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will change
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else lost nodes and restarts fill the terminal, as does
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # what other processes of Ray print
    _find(settings.address)
    import ray
    import ray.data

    if ray.is_initialized():  # by the caller of our Python interface, or a test: theirs to end
        with _quiet(ray):
            yield
        return
    folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    with folder, _quiet(ray), _handler_kept() as end_by_sigterm:
        try:
            where = _where(settings, folder.name)
            try:
                with _without_descriptor(2):
                    ray.init(**where, logging_level=logging.CRITICAL, log_to_driver=False)
            except Exception as error:  # Ray raises the base class itself, too
                raise ConfigError(f"run.ray.address={settings.address}: {reason(error)}") from error
            end_by_sigterm()
            _check_size(settings, ray.cluster_resources())
            yield
        finally:
            ray.shutdown()


def _where(settings: RaySettings, folder: str) -> dict[str, Any]:
    """Return the arguments of ``ray.init`` that say where."""
    if settings.address == "local":
        processors = max(os.cpu_count() or 1, settings.actors[1] + 1)  # counts of Ray's own, not cores
        return {
            "address": "local",
            "num_cpus": processors,
            "include_dashboard": False,
            "object_store_memory": LOCAL_BYTES,
            "_temp_dir": folder if len(folder) <= LONGEST_FOLDER else None,
        }
    return {"address": settings.address}


def _find(address: str) -> None:
    """Raise ConfigError where no head of a cluster listens at an address: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                connection.sendall(HTTP_2)
                if connection.recv(4)[3:] != SETTINGS:
                    raise OSError("another service")
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"run.ray.address={address}: no Ray answers there ({error}); give host:port of the head as "
            "`ray start --head` prints it, or local"
        ) from error


def _check_size(settings: RaySettings, there: dict[str, float]) -> None:
    wanted = {"CPU": float(settings.actors[0]), "GPU": settings.gpus * settings.actors[0]}
    for name, number in wanted.items():
        if number <= there.get(name, 0.0):
            continue
        want = counted(settings.actors[0], "actor wants", "actors want")
        text = f"{want} {number:g} {name}, and Ray at run.ray.address={settings.address} has {there.get(name, 0.0):g}"
        if settings.address == "local":
            raise ConfigError(f"{text}: give run.ray.gpus or run.ray.actors smaller numbers")
        log.warning("%s; the run waits until there are more", text)


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


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray Data's own lines and bars off the terminal; ours tell how far it is."""
    told = ray.data.DataContext.get_current()
    before = told.enable_progress_bars, told.print_on_execution_start
    told.enable_progress_bars = told.print_on_execution_start = False
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        told.enable_progress_bars, told.print_on_execution_start = before


@contextlib.contextmanager
def _without_descriptor(number: int) -> Iterator[None]:
    """Drop what is written past Python while Ray starts: in C++ it tells how its log was set, to standard error."""
    kept = os.dup(number)
    try:
        with Path(os.devnull).open("w") as nowhere, open(kept, "w", closefd=False, buffering=1) as errors_of_python:
            os.dup2(nowhere.fileno(), number)
            with contextlib.redirect_stderr(errors_of_python):
                yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextlib.contextmanager
def _handler_kept() -> Iterator[Callable[[], None]]:
    """Give back the handler of SIGTERM in the end; yields what puts one in place that ends the block, and so Ray.

    That one is for after ``ray.init``, whose own handler prints a stack and aborts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before: Any = signal.getsignal(signal.SIGTERM)
    try:
        yield _end_by_sigterm
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_by_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
