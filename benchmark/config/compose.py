"""The application's config composed in-process, as the command line would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.config.toy_networks import with_toys
from benchmark.core.errors import ConfigError


def compose(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose the application's config as plain containers, with the choice of each group.

    Raises:
        ConfigError: an override is refused.
    """
    return _composed(written_out(overrides))


def written_out(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with ``networks=toy`` as the settings that it stands for."""
    return with_toys(words, _composed)


def _composed(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from benchmark.config.override_words import readable
    from benchmark.config.schema import explain_composition_error
    from benchmark.config.strict_files import read_options_strictly
    from benchmark.core.resources import CONF

    words = readable(overrides)
    read_options_strictly()
    outer = GlobalHydra.instance().hydra  # of a Hydra job that asks from inside, or of a notebook's own
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra_compose("config", words, return_hydra_config=True)
        choices = chosen_options(config.hydra.runtime.choices)
        plain = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        composed: Any = OmegaConf.to_container(plain, resolve=True)
        return composed, choices
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: pipeline=3
        raise ConfigError(explain_composition_error(error, overrides)) from None
    finally:
        GlobalHydra.instance().hydra = outer


def chosen_options(choices: Mapping[Any, Any]) -> dict[str, str]:
    """Return group to option of what Hydra chose, without its own groups and those of which nothing was chosen."""
    return {str(k): str(v) for k, v in choices.items() if v is not None and not str(k).startswith("hydra/")}
