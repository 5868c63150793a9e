"""Programs in processes of their own, forked from one that has imported everything (``tests.preloaded``).

A process that imports PyTorch and MLflow for itself takes seconds before it begins, and the tests start many.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def server() -> ForkServerContext:
    """Return what starts processes that have everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def _become(words: Sequence[str], environment: Mapping[str, str], out: str, err: str) -> None:
    """Be ``python -m benchmark``; runs in the forked process."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["benchmark", *words]
    runpy.run_module("benchmark", run_name="__main__", alter_sys=True)


def benchmark(
    words: Sequence[str], *, environment: Mapping[str, str], seconds: float | None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmark`` from the project's folder, for so many seconds at most.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        for path in (out, err):
            path.touch()
        process = server().Process(target=_become, args=(words, dict(environment), str(out), str(err)))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(words), seconds or 0.0, out.read_bytes(), err.read_bytes())
        return subprocess.CompletedProcess(list(words), process.exitcode, out.read_text(), err.read_text())
