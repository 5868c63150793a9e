"""A Ray of the run's own, or a cluster: started or reached, kept quiet, and left however a run ends."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config.schema import RaySettings
from benchmark.core.errors import ConfigError, reason
from benchmark.core.text import counted

log = logging.getLogger(__name__)
CONNECT_SECONDS = 10.0
SETTINGS = b"\x04"
"""Type of the frame that both sides of a connection by HTTP/2, as Ray's, begin with (RFC 9113, 3.4)."""
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + SETTINGS + b"\x00\x00\x00\x00\x00"
LONGEST_FOLDER = 45
"""Characters of a folder of which Ray can make the name of a socket; without one it takes /tmp/ray."""
LOCAL_BYTES = 2**29
"""Shared memory of a Ray of our own: rows and the manifest pass through it, images and artifacts never do."""


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
    with folder, _told_if_cut_off(settings.address), _quiet(ray), _handler_kept() as end_by_sigterm:
        try:
            where = _where(settings, folder.name)
            try:
                with _without_descriptor(2):
                    ray.init(**where, logging_level=logging.CRITICAL, log_to_driver=False)
            except Exception as error:  # Ray raises the base class itself, too
                why = reason(error)
                if settings.address == "auto" and isinstance(error, ConnectionError):
                    why = "no Ray runs on this machine; start one as docs/scaling.md says, or give local or host:port"
                elif ":" in settings.address:
                    why += (
                        "; a cluster whose head has a token (~/.ray/auth_token) wants it on every machine, and "
                        "RAY_AUTH_MODE=token in the run's environment; see docs/scaling.md"
                    )
                raise ConfigError(f"run.ray.address={settings.address}: {why}") from error
            end_by_sigterm()
            _check_room(settings, [node["Resources"] for node in ray.nodes() if node["Alive"]])
            yield
        finally:
            with _without_interrupts():
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


def _check_room(settings: RaySettings, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise ConfigError where no Ray of our own has room for the fewest actors; warn where a cluster has none yet.

    Args:
        settings: how many actors, and their GPUs.
        nodes: what each node has, by Ray's names (``CPU``, ``GPU``).
    """
    fewest, gpus = settings.actors[0], settings.gpus
    room = sum(
        int(min(node.get("CPU", 0.0), (node.get("GPU", 0.0) / gpus + 1e-9) if gpus else math.inf)) for node in nodes
    )
    if room < fewest:
        want = counted(fewest, "actor wants", "actors want")
        each = (
            f"1 processor{f' and {gpus:g} GPU' if gpus else ''}{'s' if gpus > 1 else ''}{' each' if fewest > 1 else ''}"
        )
        text = f"{want} {each}, and Ray at run.ray.address={settings.address} has room for {room}"
        if settings.address == "local":
            fix = "" if any(node.get("GPU") for node in nodes) else "; run.ray.gpus=0 computes on processors"
            raise ConfigError(f"{text}: give run.ray.gpus or run.ray.actors smaller numbers{fix}")
        log.warning("%s; the run waits until there is more", text)
    if not gpus and any(node.get("GPU") for node in nodes):
        log.warning("run.ray.gpus=0: the GPUs that Ray has are left idle; run.ray.gpus=1 gives one to each actor")


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
def _told_if_cut_off(address: str) -> Iterator[None]:
    """Have a process beside say it where this one ends at once: Ray ends it so, without a word, where it goes down."""
    text = (
        f"error: the run was cut off: its Ray (run.ray.address={address}) went down, or it was killed; what is stored "
        "is kept, and the same command goes on"
    )
    told = ["sh", "-c", 'read -r ended || printf "\\n%s\\n" "$1" >&2', "sh", text]
    with subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as beside:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # somebody ended it
                beside.communicate(b"ended\n")


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
def _without_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for the second or two that Ray takes to end: a further one would leave it half ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
