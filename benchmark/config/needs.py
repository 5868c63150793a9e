"""What a config wants: which weights files, and which dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose
from benchmark.config.options import options
from benchmark.config.schema import RunSettings, option_settings, pipeline_settings, settings_from
from benchmark.core.settings import Settings
from benchmark.weights.fetch import Request
from benchmark.weights.local import custom


def needed_by(request: Request) -> tuple[list[str], Path]:
    """Return the names of the weights that are asked for, of the weights registry and the hub, and the weights folder.

    Raises:
        ConfigError: an override does not fit the config.
        WeightsError: a pipeline asks for weights that are not registered.
    """
    root = settings_from("run", RunSettings, _compose(request.overrides, pipeline=None)["run"]).weights_root
    needed = [name for asked in request.names for name in weights_of(asked, request.overrides)]
    return list(dict.fromkeys(needed)), root


def weights_of(name: str, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the registry names that a pipeline option needs with these overrides; for a registry name, that name.

    Raises:
        WeightsError: a file of the user's own is not there.
    """
    if name not in options("pipeline"):
        return (name,)
    networks = pipeline_settings(_compose(overrides, pipeline=name)["pipeline"]).networks()
    for path in networks.own_files():
        custom(path)
    return networks.registered()


def lacks(name: str, overrides: Sequence[str] = ()) -> tuple[str, str | None] | None:
    """Return what a pipeline option lacks that no registry has, and how it is given; None: nothing, or no pipeline."""
    if name not in options("pipeline"):
        return None
    return pipeline_settings(_compose(overrides, pipeline=name)["pipeline"]).missing()


def _compose(overrides: Sequence[str], *, pipeline: str | None) -> dict[str, Any]:
    """Compose the config; without a pipeline, only the words for ``run`` are looked at."""
    if pipeline is None:
        return compose([word for word in overrides if word.startswith("run.")])[0]
    return compose([f"pipeline={pipeline}", *overrides])[0]


def dataset_settings(option: str, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings of an option of the group ``dataset``, some of them overridden."""
    return option_settings("dataset", compose([f"dataset={option}", *overrides])[0]["dataset"])
