"""The Hydra application: ``python -m benchmark dataset=mtd pipeline=resnet_mlp`` is one run, ``-m`` a sweep."""

from __future__ import annotations

import os
import sys
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark import sweep, sweeper
from benchmark.commands import fail
from benchmark.config import CONF, build, explain_composition_error
from benchmark.errors import BenchmarkError, DryRun, TrackingError
from benchmark.provenance import redact

_failures: list[BenchmarkError] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def application(config: DictConfig) -> dict[str, Any] | float | None:
    """Run one job, single or of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    choices = {str(k): str(v) for k, v in job.runtime.choices.items() if not str(k).startswith("hydra/")}
    composed: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    overrides = list(job.overrides.task)
    if job.mode == RunMode.MULTIRUN:
        return sweep.run_point(composed, choices, number=int(job.job.num), overrides=overrides)
    try:
        return run_one(composed, choices, overrides)
    except BenchmarkError as error:  # Hydra would print its own lines around it
        _failures.append(error)
        return None


def run_one(composed: dict[str, Any], choices: dict[str, str], overrides: list[str]) -> dict[str, Any]:
    """Run, print the table, and return where the result lies."""
    from benchmark.results.tables import print_result
    from benchmark.run import execute

    typed = build(composed, choices)
    finished = execute(typed, composed, command=["python", "-m", "benchmark", *overrides])
    if finished is None:
        print(f"shard {typed.run.shard} is done; the last shard to finish writes the result")
        return {"folder": None}
    print_result(finished)
    if finished.tracking_error:
        raise TrackingError(finished.tracking_error)
    return {"folder": str(finished.folder)}


def main() -> int:
    """Run the application and turn every error that a user can mend into one message."""
    from hydra.errors import HydraException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed and cut short by Hydra
    sweeper.compose_points_once()
    # Hydra takes all its overrides in one stretch, before -m or behind it.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("-m", "--multirun"))
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    try:
        application()
    except (HydraException, OmegaConfBaseException) as error:
        return fail(explain_composition_error(error, words))
    except KeyboardInterrupt:
        return fail("interrupted; the same command goes on where it stopped", status=130)
    if _failures and isinstance(_failures[-1], DryRun):
        print(redact(str(_failures[-1])))
        return 0
    if _failures:
        return fail(str(_failures[-1]))
    return sweep.exit_code()


if __name__ == "__main__":
    sys.exit(main())
