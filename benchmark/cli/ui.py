"""``ui``: the tracked runs in MLflow's own interface."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import RunsFolder


def ui(
    *,
    port: Annotated[int, typer.Option(help="Port of this machine.")] = 5000,
    host: Annotated[str, typer.Option(help="Address that is listened at.")] = "127.0.0.1",
    results_root: RunsFolder = Path("results"),
    uri: Annotated[
        str | None, typer.Option(help="MLflow tracking URI.", show_default="the store in the results folder")
    ] = None,
) -> int:
    """Open the tracked runs in MLflow's own interface (Ctrl-C ends it): ui [port=5001]."""
    import socket
    import sys

    from benchmark.core.errors import ConfigError
    from benchmark.tracking import Mlflow

    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        raise ConfigError(f"port {port} of {host} is taken, perhaps by another `ui`; choose one: ui port={port + 1}")
    store = Mlflow(uri=uri, experiment="").make_ready(results_root)
    if uri is None:
        print(
            f"the runs: http://{host}:{port}/#/experiments (MLflow's first page shows traces); ready in half a minute"
        )
    words = ["ui", "--workers", "1", "--backend-store-uri", store, "--host", host, "--port", str(port)]
    return _serve([sys.executable, "-m", "mlflow", *words])


def _serve(words: Sequence[str]) -> int:
    """Run a server until it ends or this process is told to; it and its helpers end with this process, and silently.

    They get a session of their own: Ctrl-C would reach each of them, and each would print where it was.
    """
    import os
    import signal
    import subprocess
    import sys

    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, lambda number, _: sys.exit(128 + number))
    server = subprocess.Popen(words, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave the server behind
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            os.killpg(server.pid, signal.SIGKILL)
