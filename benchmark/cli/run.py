"""``run`` and ``sweep``: the Hydra application, whose words are Hydra's overrides."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.cli import COMMANDS
from benchmark.config.compose import chosen_options, compose, written_out
from benchmark.config.composition_errors import explain_composition_error
from benchmark.config.key_help import help_text
from benchmark.config.options import groups, options
from benchmark.config.override_words import readable, without_secrets
from benchmark.config.schema import build
from benchmark.config.strict_files import read_options_strictly
from benchmark.core.commands import fail
from benchmark.core.errors import BenchmarkError, ConfigError, DryRun, TrackingError, near_matches
from benchmark.core.exhausted import out_of_memory
from benchmark.core.resources import CONF
from benchmark.core.secrets import redact
from benchmark.results.schema import flatten
from benchmark.running import hydra_patch, sweep
from benchmark.running.dry_run import outlook

HELP = ("--help", "-h")
DRY_RUN = ("dry_run", "--dry-run")
MULTIRUN = ("-m", "--multirun")
_stopped: list[tuple[str, bool]] = []
"""Why the run ended early, and whether it was a dry run; the text alone, as an exception would keep what it passed."""


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def application(config: DictConfig) -> dict[str, Any] | float | None:
    """Run one job, single or of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    choices = chosen_options(job.runtime.choices)
    overrides = list(job.overrides.task)
    composed: Any
    try:
        composed = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        if job.mode == RunMode.MULTIRUN:
            raise
        _stopped.append((explain_composition_error(error, overrides), False))
        return None
    if job.mode == RunMode.MULTIRUN:
        return sweep.run_point(composed, choices, number=int(job.job.num), overrides=overrides)
    try:
        return run_one(composed, choices, overrides)
    except BenchmarkError as error:  # Hydra would print its own lines around it
        _stopped.append((str(error), isinstance(error, DryRun)))
        return None
    except Exception as error:
        message = out_of_memory(error)
        if message is None:
            raise
        _stopped.append((message, False))
        return None


def run_one(composed: dict[str, Any], choices: dict[str, str], overrides: list[str]) -> dict[str, Any]:
    """Run, print the table, and return where the result lies."""
    from benchmark.report.tables import print_result
    from benchmark.running.run import execute

    typed = build(composed, choices)
    finished = execute(typed, composed, command=["python", "-m", "benchmark", *overrides])
    if finished is None:
        print(f"shard {typed.run.shard} is done; the last shard to finish writes the result")
        return {"folder": None}
    print_result(finished)
    if typed.run.results_copy is not None:
        print(f"copy: {typed.run.results_copy}/runs/{finished.folder.name}")
    if finished.tracking_error:
        raise TrackingError(finished.tracking_error)
    return {"folder": str(finished.folder)}


def run(words: Sequence[str]) -> int:
    """Run the application with these words, and turn every error that a user can fix into one message.

    Raises:
        ConfigError: a word is neither an override nor an option of Hydra's.
    """
    from hydra.errors import HydraException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed and cut short by Hydra
    hydra_patch.compose_points_once()
    read_options_strictly()
    _stopped.clear()
    if any(word in HELP for word in words):
        print(help_text([word for word in words if word not in (*HELP, *DRY_RUN, *MULTIRUN)]))
        return 0
    dry = any(word in DRY_RUN for word in words)
    words = [word for word in words if word not in DRY_RUN]
    _refuse_stray_words(words)
    if dry and not any(word in MULTIRUN for word in words):
        composed, chosen = compose(words)
        print("\n".join(["dry run", *outlook(build(composed, chosen), composed)]))
        return 0
    # Hydra takes all its overrides in one stretch; its own options may stand anywhere among them.
    sys.argv[1:] = without_secrets(readable(sorted(written_out(words), key=_is_override)))
    try:
        with sweep.under_way(dry=dry):
            application()
    except DryRun as told:
        print(told)
        return 0
    except (HydraException, OmegaConfBaseException) as error:
        return fail(explain_composition_error(error, words))
    except RuntimeError as error:  # what a launcher needs is not there
        if '"srun"' not in str(error):
            raise
        return fail(
            "hydra/launcher=slurm: this machine has no srun; start the sweep where SLURM's commands are, or take "
            "hydra/launcher=local_jobs"
        )
    except ValueError as error:
        if "Config group override" not in str(error):  # pipeline=3
            raise
        return fail(explain_composition_error(error, words))
    except KeyboardInterrupt:
        return fail("interrupted; the same command goes on where it stopped", status=130)
    if not _stopped:
        return sweep.exit_code()
    message, dry = _stopped[-1]
    if not dry:
        return fail(message)
    print(redact(message))
    return 0


def _as_key(word: str) -> str:
    """Say how a setting is written that was given as an option with dashes."""
    name = word.lstrip("-").partition("=")[0].replace("-", "_")
    keys = [key for key in flatten(compose([])[0]) if key.rpartition(".")[2] == name]
    found = " or ".join(f"{key}=…" for key in keys[:3]) or "pipeline.threshold=0.5 is one"
    return f"settings have no dashes: {found} (--help lists them)"


def _is_override(word: str) -> bool:
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def _refuse_stray_words(words: Sequence[str]) -> None:
    of_hydra = {name for action in get_args_parser()._actions for name in action.option_strings}
    for before, word in zip(["", *words], words, strict=False):
        is_value = before.startswith("-") and before not in MULTIRUN
        if word.startswith("-") and word.partition("=")[0] not in of_hydra:
            raise ConfigError(f"{word}: no such option; {_as_key(word)}")
        if is_value or word.startswith("-") or _is_override(word):
            continue
        fitting = [f"{'+' if group == 'sweep' else ''}{group}={word}" for group in groups() if word in options(group)]
        near = f"write {' or '.join(fitting)}" if fitting else near_matches(word, [*COMMANDS, *groups()])
        if not fitting and "=" in before and not before.startswith("-"):
            near = f"a value with a space takes quotes of its own, ARGS='\"{before} {word}\"'; else {near}"
        raise ConfigError(f"{word!r} is neither a command nor a setting with its key; {near}")
