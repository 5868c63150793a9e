"""The application's config composed in-process, as the command line would."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from benchmark.config.toy_networks import with_toys
from benchmark.core.errors import ConfigError

Composed = tuple[dict[str, Any], dict[str, str]]
"""Settings as plain containers, and group to chosen option."""


def compose(overrides: Sequence[str]) -> Composed:
    """Compose the application's config as plain containers, with the choice of each group.

    Raises:
        ConfigError: an override is refused.
    """
    return _composed(written_out(overrides))


def compose_each(group: str, lines: Sequence[Sequence[str]]) -> list[Composed | ConfigError]:
    """Compose several command lines of which one group alone is wanted, many times faster than one after another.

    Most of the time of composing goes into what all lines share, and then into each option. Lines that begin with
    ``group=NAME`` and set nothing beside the group, ``run`` and ``tracking`` are composed together, each choice of
    options once, below a key of its own.

    Args:
        group: whose settings are wanted, ``dataset`` or ``pipeline``; those of other groups are not to be looked at.
        lines: words of a command line each.

    Returns:
        what ``compose`` returns for each line, without the choices of groups inside of the option, or the error that
        it raises.
    """
    together: dict[Words, dict[Words, list[int]]] = {}
    found: dict[int, Composed | ConfigError] = {}
    for number, words in enumerate(lines):
        shared = tuple(word for word in words if word.startswith(("run.", "tracking")))
        own = [word for word in words if word not in shared]
        if own and own[0].startswith(f"{group}=") and all(_moved(word, group, "x") for word in own):
            choice = tuple(word for word in own if not _sets_a_value(word))
            together.setdefault(shared, {}).setdefault(choice, []).append(number)
    for shared, choices in together.items():
        each = list(choices.items())
        for start in range(0, len(each), _TOGETHER):
            found |= _at_once(group, shared, each[start : start + _TOGETHER], lines)
    for number, words in enumerate(lines):
        if number not in found:
            try:
                found[number] = compose(words)
            except ConfigError as error:
                found[number] = error
    return [found[number] for number in range(len(lines))]


Words = tuple[str, ...]
_TOGETHER = 12  # Hydra walks over all that is composed for each option that it adds


def _sets_a_value(word: str) -> bool:
    return "." in word.partition("=")[0]


def _at_once(
    group: str, shared: Words, choices: Iterable[tuple[Words, Sequence[int]]], lines: Sequence[Sequence[str]]
) -> dict[int, Composed]:
    """Compose lines together; none where one is refused, as is one that names another setting by its full key.

    Args:
        group: whose settings are wanted.
        shared: words of all lines.
        choices: words that choose options, with the numbers of the lines that do.
        lines: words of all command lines.
    """
    words: list[str] = []
    copies: dict[str, str] = {}
    names: dict[int, str] = {}
    for choice, (first, *others) in choices:
        words += [str(_moved(word, group, f"lines.n{first}")) for word in choice]
        copies |= {f"lines.n{n}": f"lines.n{first}" for n in others}
        names |= dict.fromkeys((first, *others), choice[0].partition("=")[2])
    for n in names:
        words += [
            str(_moved(word, group, f"lines.n{n}")) for word in lines[n] if _sets_a_value(word) and word not in shared
        ]
    try:
        composed, chosen = _composed([f"~{group}", *shared, *words], copies)
    except ConfigError:
        return {}
    parts = composed.pop("lines")
    chosen = {key: name for key, name in chosen.items() if "@" not in key}
    return {n: ({**composed, group: parts[f"n{n}"]}, {**chosen, group: name}) for n, name in names.items()}


def _moved(word: str, group: str, place: str) -> str | None:
    """Return a word for the group as one for another place; None: it is another word."""
    if named := re.fullmatch(rf"{group}=(\w+)", word):
        return f"+{group}@{place}={named[1]}"
    if inner := re.fullmatch(rf"(\w+@)?{group}\.(.*)", word, re.DOTALL):
        return f"{inner[1] or ''}{place}.{inner[2]}"
    return None


def written_out(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with ``networks=toy`` as the settings that it stands for."""
    return with_toys(words, _composed)


def _composed(overrides: Sequence[str], copies: Mapping[str, str] = MappingProxyType({})) -> Composed:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from benchmark.config import loader
    from benchmark.config.composition_errors import explain_composition_error
    from benchmark.config.override_words import readable
    from benchmark.config.strict_files import read_options_strictly
    from benchmark.core.resources import CONF

    words = readable(overrides)
    read_options_strictly()
    outer = GlobalHydra.instance().hydra  # of a Hydra job that asks from inside, or of a notebook's own
    GlobalHydra.instance().clear()
    try:
        if loader.composes(words):
            config, choices = loader.load(words, copies)
        else:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                config = hydra_compose(loader.PRIMARY, words, return_hydra_config=True)
            choices = config.hydra.runtime.choices
            config = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        composed: Any = OmegaConf.to_container(config, resolve=True)
        return composed, chosen_options(choices)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: pipeline=3
        raise ConfigError(explain_composition_error(error, overrides)) from None
    finally:
        GlobalHydra.instance().hydra = outer


def chosen_options(choices: Mapping[Any, Any]) -> dict[str, str]:
    """Return group to option of what Hydra chose, without its own groups and those of which nothing was chosen."""
    return {str(k): str(v) for k, v in choices.items() if v is not None and not str(k).startswith("hydra/")}
