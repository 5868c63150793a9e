"""Hydra's sweepers, made to compose each choice of options once, and to look first at what all points lack."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.plugins.sweeper import Sweeper

from benchmark.running import sweep

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

    Load = Callable[[ConfigLoaderImpl, DictConfig, list[str]], DictConfig]

_composed: WeakKeyDictionary[Any, dict[tuple[str, ...], DictConfig]] = WeakKeyDictionary()
"""Of each loader, that is each sweep: the config of the first point with the same choices."""
MOST_CHOICES = 16
"""Choices of options of which a config is kept, a few hundred kB each."""


def compose_points_once() -> None:
    """Let Hydra's sweepers check one point of every combination of options before they start.

    They compose every point before the first one runs, and the launcher composes each again: a third of the time
    of a sweep over cheap settings. Points that choose the same options have the same keys, and their values are
    checked when they run, where a wrong one becomes a failed row instead of ending the sweep. A subclass would be
    the usual way, but Hydra takes plugins from the package ``hydra_plugins`` alone, and loads the modules of its own
    anew, so that only the method of their common base can be replaced.
    """
    Sweeper.validate_batch_is_legal = _validate  # type: ignore[method-assign]
    load = ConfigLoaderImpl.load_sweep_config
    if not hasattr(load, "whole"):
        ConfigLoaderImpl.load_sweep_config = _values_alone(load)  # type: ignore[method-assign, assignment]


def _validate(self: Sweeper, batch: Sequence[Sequence[str]]) -> None:
    assert self.hydra_context is not None and self.config is not None
    load = self.hydra_context.config_loader.load_sweep_config
    points = {choices(point): point for point in reversed(batch)}.values()
    sweep.look_ahead([load(self.config, list(point)) for point in reversed(points)], points=len(batch))


def _values_alone(load: Load) -> Load:
    """Return a loader that composes the first point of each choice of options, and sets values alone in the others."""

    def loaded(self: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        kept, key = _composed.setdefault(self, {}), choices(sweep_overrides)
        values = _values(sweep_overrides)
        if values is None:
            return load(self, master_config, sweep_overrides)
        if key in kept:
            config = _with_values(kept[key], values, sweep_overrides)
            if config is not None:
                return config
        config = load(self, master_config, sweep_overrides)
        if len(kept) < MOST_CHOICES:
            kept[key] = copy.deepcopy(config)
        return config

    loaded.whole = load  # type: ignore[attr-defined]
    return loaded


def _values(point: Sequence[str]) -> list[Override] | None:
    """Return the overrides of a point that set a plain key; None where one does more (``+``, ``~``, ``{…}``)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    read = OverridesParser.create().parse_overrides(list(point))
    found = [one for one in read if "." in one.key_or_group]
    plain = (
        not one.is_add() and not one.is_force_add() and not one.is_delete() and one.package is None
        and not one.is_hydra_override() and not isinstance(one.value(), dict)
        for one in found
    )  # fmt: skip
    return found if all(plain) and not any(one.is_hydra_override() for one in read) else None


def _with_values(config: DictConfig, values: Sequence[Override], point: Sequence[str]) -> DictConfig | None:
    """Return a copy of a config with other values of the same keys, as Hydra sets them; None where one is refused."""
    from hydra._internal.config_loader_impl import get_overrides_dirname
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    changed = copy.deepcopy(config)
    try:
        ConfigLoaderImpl._apply_overrides_to_config(list(values), changed)
    except (HydraException, OmegaConfBaseException):
        return None  # composed as a whole, it is refused in the usual words
    job = changed.hydra.job
    changed.hydra.overrides.task = list(point)
    names = job.config.override_dirname
    job.override_dirname = get_overrides_dirname(
        overrides=OverridesParser.create().parse_overrides(list(point)),
        kv_sep=names.kv_sep,
        item_sep=names.item_sep,
        exclude_keys=names.exclude_keys,
    )
    return changed


def choices(point: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides of a point with the values of plain keys (they have a dot) left out."""
    return tuple(word.partition("=")[0] if "." in word.partition("=")[0] else word for word in point)
