"""Compose configs and carry out runs in-process, as the command line does."""

from __future__ import annotations

import atexit
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose as benchmark_compose
from benchmark.config.pipeline import Pipeline, Plan, make_plan, predictions
from benchmark.config.schema import RunConfig, build
from benchmark.core.samples import Prediction, Sample
from benchmark.stages.context import Context
from tests import forked

ROOT = Path(__file__).resolve().parent.parent
ROOTS = ("DATA_ROOT", "RESULTS_ROOT", "BENCH_CACHE", "BENCH_CACHE_LOCAL", "BENCH_WEIGHTS")
SMALL_SAT = ("dataset=sat", "dataset.n_good=6", "dataset.n_defective=6", "dataset.n_train=4", "dataset.size=64")


def compose(*overrides: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose the application's config; returns it as plain containers, and the choice of each group."""
    composed, choices = _composed(overrides, tuple(os.environ.get(name) for name in ROOTS))
    return copy.deepcopy(composed), dict(choices)


@cache
def _composed(overrides: tuple[str, ...], _roots: tuple[str | None, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Composing takes longer than most of what is tested with it."""
    return benchmark_compose(overrides)


@cache
def _option(group: str, name: str) -> dict[str, Any]:
    return compose(f"{group}={name}")[0][group]


def option(group: str, name: str, **changes: Any) -> dict[str, Any]:
    """Return the settings of an option of ``conf``, what it inherits included, with some changed."""
    settings = copy.deepcopy(_option(group, name)) | changes
    del settings["_target_"]
    return settings


def typed(*overrides: str) -> RunConfig:
    """Compose and validate."""
    return build(*compose(*overrides))


def plan_of(pipeline: Pipeline, context: Context, *, option: str = "test") -> Plan:
    """Plan as a run does."""
    return make_plan(pipeline, context, option=option)


def predict(pipeline: Pipeline, context: Context, *, option: str = "test") -> list[tuple[Sample, Prediction]]:
    """Predict every sample of a context as a run does."""
    return list(streamed(pipeline, context, option=option))


def streamed(pipeline: Pipeline, context: Context, *, option: str = "test") -> Iterator[tuple[Sample, Prediction]]:
    """Predict one sample after the other."""
    return predictions(plan_of(pipeline, context, option=option), context)


def places(folder: Path) -> list[str]:
    """Overrides that keep a run below ``folder`` and track nothing."""
    return [
        f"run.data_root={folder / 'data'}",
        f"run.results_root={folder / 'results'}",
        f"run.cache_root={folder / 'cache'}",
        "tracking=none",
    ]


@cache
def _generated() -> Path:
    """Where the generated images of this process's runs lie; they are drawn once."""
    folder = tempfile.TemporaryDirectory(prefix="generated-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def run(folder: Path, *overrides: str) -> Any:
    """Carry out one run below ``folder``; returns what ``benchmark.running.run.execute`` does."""
    from benchmark.running.run import execute

    composed, choices = compose("tracking=none", *overrides)
    generated = composed["dataset"]["_target_"].endswith("sat.Sat")
    for place in ("data", "results", "cache"):
        if not any(word.startswith(f"run.{place}_root=") for word in overrides):
            composed["run"][f"{place}_root"] = str(_generated() if generated and place == "data" else folder / place)
    return execute(build(composed, choices), composed, command=["test"])


def command(
    *words: str, folder: Path | None = None, seconds: float | None = 280, cold: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmark`` in a process of its own, for so many seconds at most.

    Args:
        words: of the command line.
        folder: below which everything is kept.
        seconds: after which it is killed.
        cold: start a new interpreter; what starts processes by itself (a launcher) needs that.
        environment: variables added to those of the test.
    """
    added = [] if folder is None else places(folder)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", **environment}
    if cold:
        program = [sys.executable, "-m", "benchmark", *added, *words]
        return subprocess.run(
            program, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=seconds, check=False
        )
    return forked.benchmark([*added, *words], environment=variables, seconds=seconds)


def result_of(folder: Path) -> dict[str, Any]:
    """Read the only result below ``folder``."""
    (path,) = (folder / "results" / "runs").glob("*/result.json")
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def original(text: str) -> str:
    """Return the text that ``encodable`` was given, if that did not show such an escape itself."""
    return re.sub(r"\\u(d[89a-f][0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
