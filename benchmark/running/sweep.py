"""Sweeps: every point a run of its own, a failed point a row that says why, one table at the end."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from benchmark.core.addresses import results_root
from benchmark.core.commands import fail
from benchmark.core.errors import BenchmarkError, ConfigError, DryRun, TrackingError
from benchmark.core.exhausted import out_of_memory
from benchmark.core.secrets import redact
from benchmark.core.text import counted
from benchmark.running.point_records import COMMAND, FOLDER_VARIABLE, point_name, report_point

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.config.schema import RunConfig, RunSettings
    from benchmark.results.schema import RunResult
    from benchmark.running.tracking_beside import Beside

OmegaConf.register_new_resolver("path", lambda path: str(results_root(path)), replace=True)  # for hydra.sweep.dir

HERE = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""The launcher that computes the points in this process."""
_failed = 0
_dry = False
_tracked: Callable[[str], None] | None = None
"""Ends the parent run of the sweep that is under way, with a state of MLflow's."""
_beside: Beside | None = None
"""Tracks the points that this process computes."""


@contextmanager
def under_way(*, dry: bool) -> Iterator[None]:
    """Lead a sweep: what ends it early is said of its parent run too.

    Args:
        dry: tell what the points need and would do, and run none.
    """
    global _dry, _failed, _beside
    _dry, _failed = dry, 0
    try:
        yield
    except BaseException as error:
        if _tracked is not None:
            _tracked("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    finally:
        _dry = False
        if _beside is not None:  # what ended the sweep came before its parent run
            _beside.close()
            _beside = None


def look_ahead(configs: Sequence[DictConfig], *, points: int) -> None:
    """Stop a sweep whose every point would fail for want of the same data, weights or key, before its first point.

    Args:
        configs: a composed config for every combination of options that the points choose.
        points: how many there are.

    Raises:
        ConfigError: nothing can run; says what is missing and which command gets it.
        DryRun: that is all that was asked for.
    """
    from benchmark.config.compose import chosen_options
    from benchmark.config.schema import build
    from benchmark.running.dry_run import obstacle, outlook

    plain = [(SweepSummary._composed(c), chosen_options(c.hydra.runtime.choices)) for c in configs]
    if _dry:
        lines = [line for composed, chosen in plain for line in outlook(build(composed, chosen), composed)]
        raise DryRun(
            "\n".join([f"dry run: {counted(points, 'point')}, {counted(len(plain), 'combination')} of options", *lines])
        )
    found = [obstacle(composed, chosen) for composed, chosen in plain]
    if found and all(found):
        reasons = dict.fromkeys(f"{one.phrase}; run: {one.fix}" if one.fix else one.phrase for one in found if one)
        raise ConfigError("no point can run: " + "\n".join(reasons))


def exit_code() -> int:
    """Return 1 when the sweep that this process led had failed points, else 0."""
    return 1 if _failed else 0


def run_point(
    composed: dict[str, Any],
    choices: dict[str, str],
    *,
    number: int,
    overrides: Sequence[str],
    thumbnails: bool = False,
) -> float:
    """Run one point of a sweep and write its record; a failure becomes a record too, so that the others go on.

    Returns:
        The objective's value, NaN where there is none (what an optimising sweeper reads).
    """
    from benchmark.config.schema import build
    from benchmark.core.memory import PROCESS_BYTES, process_memory
    from benchmark.results.mlflow_entry import POINT_VARIABLE
    from benchmark.running.run import execute

    process_memory.allow(PROCESS_BYTES)
    record: dict[str, Any] = {"number": number, "overrides": dict(o.split("=", 1) for o in overrides), "status": "ok"}
    os.environ[POINT_VARIABLE] = point_name(record)
    value = float("nan")
    try:
        config = build(composed, choices)
        words = ["python", "-m", "benchmark", *overrides]
        track = _track_beside(config, record)
        finished = execute(config, composed, command=words, thumbnails=thumbnails, track=track)
        if finished is None:
            record["status"] = "shard"
        else:
            record["run"] = finished.folder.name
            if finished.tracking_error:
                record |= {"status": "not tracked", "message": finished.tracking_error}
            value = objective(finished.result, config.run.objective)
    except BenchmarkError as error:
        record |= {"status": "failed", "message": str(error)}
    except Exception as error:
        memory = out_of_memory(error)
        if memory is None:
            print(redact(traceback.format_exc()), file=sys.stderr)
        record |= {"status": "failed", "message": memory or redact(f"{type(error).__name__}: {error}")}
    report_point(record, value)
    return value


def _track_beside(config: RunConfig, record: dict[str, Any]) -> Callable[[Path], None] | None:
    """Return what has a point logged beside the next one; a failure is added to its record. None: nothing has."""
    beside = _beside
    if beside is None or config.tracking != beside.tracker:
        return None

    def ended(message: str | None) -> None:
        if message is not None:
            report_point(record | {"status": "not tracked", "message": message}, float("nan"))

    return lambda folder: beside.ask("log", folder, results_root=config.run.results_root, then=ended)


def objective(result: RunResult, name: str | None) -> float:
    """Return the value by which points are compared: the headline of metric ``name``, NaN where undefined."""
    for row in result.headline().values():
        if row.metric == (name or row.metric) and row.value is not None:
            return row.value
    return float("nan")


class SweepSummary(Callback):
    """Hydra callback: opens a sweep's folder and parent run, and draws its table at the end."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Name the sweep by its command line, so that a rerun goes on in the same folder."""
        composed = self._composed(config)
        words = sorted(redact(str(o)) for o in OmegaConf.select(config, "hydra.overrides.task") or [])
        params = OmegaConf.select(config, "hydra.sweeper.params")
        words += [redact(f"{k}={v}") for k, v in sorted((params or {}).items())]
        name = "sweep-" + hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
        folder = self._run(composed).results_root.resolve() / "sweeps" / name
        shutil.rmtree(folder / "points", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / COMMAND).write_text(json.dumps(words, indent=1))
        os.environ[FOLDER_VARIABLE] = str(folder)
        if not _dry:
            here = OmegaConf.select(config, "hydra.launcher._target_") == HERE
            self._open(composed, folder, " ".join(words)[:200], here=here)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write and print the table over all points."""
        global _failed
        from benchmark.report.points import summarise

        composed = self._composed(config)
        folder = Path(os.environ.pop(FOLDER_VARIABLE))
        run = self._run(composed)
        metrics: Mapping[str, float] = {}
        status = "FAILED"
        try:
            if _beside is not None:
                _beside.settle()
            summary = summarise(folder, run.results_root / "runs", objective=run.objective)
            _failed, metrics = summary.failed, summary.best_metrics
            status = "FAILED" if _failed == len(summary.table) else "FINISHED"
        except Exception as error:  # Hydra would turn it into a warning
            _failed += 1
            told = "" if isinstance(error, BenchmarkError) else f"{redact(traceback.format_exc())}\n"
            fail(f"{told}the points are in {folder / 'points'}, but there is no table of them: {error}")
        self._close(composed, folder, status, metrics)

    def _open(self, composed: Mapping[str, Any], folder: Path, name: str, *, here: bool) -> None:
        """Start the parent run; points that are computed here are tracked beside."""
        global _tracked, _beside
        from benchmark.config.schema import option_settings
        from benchmark.running.tracking_beside import Beside, can_fork
        from benchmark.tracking import Mlflow

        tracker: Any = option_settings("tracking", composed["tracking"])
        root = self._run(composed).results_root
        if here and isinstance(tracker, Mlflow) and can_fork():
            killed = functools.partial(tracker.finish_sweep, folder, results_root=root, metrics={}, status="KILLED")
            _beside = Beside(tracker, last=killed)  # does nothing where the parent run has ended
        self._track(tracker, "start_sweep", name, results_root=root)
        _tracked = lambda status: self._close(composed, folder, status, {})  # noqa: E731

    def _close(self, composed: Mapping[str, Any], folder: Path, status: str, metrics: Mapping[str, float]) -> None:
        """End the parent run."""
        global _tracked, _beside
        from benchmark.config.schema import option_settings

        _tracked = None
        tracker = option_settings("tracking", composed["tracking"])
        root = self._run(composed).results_root
        self._track(tracker, "finish_sweep", folder, results_root=root, metrics=metrics, status=status)
        if _beside is not None:
            _beside.close()
            _beside = None

    @staticmethod
    def _composed(config: DictConfig) -> dict[str, Any]:
        plain = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        return OmegaConf.to_container(plain, resolve=True)  # type: ignore[return-value]

    @staticmethod
    def _run(composed: Mapping[str, Any]) -> RunSettings:
        from benchmark.config.schema import RunSettings, settings_from

        return settings_from("run", RunSettings, composed["run"])

    @staticmethod
    def _track(tracker: Any, method: str, *args: Any, **named: Any) -> None:
        def ended(message: str | None) -> None:
            global _failed
            if message is not None:
                _failed += 1
                fail(message)

        if _beside is not None:
            _beside.ask(method, *args, then=ended, **named)
            return
        try:
            getattr(tracker, method)(*args, **named)
        except TrackingError as error:
            ended(str(error))
