"""Which groups and options there are, in ``conf`` and in folders that a command names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.resources import CONF
from benchmark.core.settings import expanded


def options(group: str, overrides: Sequence[str] = ()) -> list[str]:
    """Names of the options of one group of ``conf/``, and of the user's config folders that ``overrides`` name."""
    return sorted({p.stem for folder in config_folders(overrides) for p in (folder / group).glob("*.yaml")})


def groups() -> list[str]:
    """Names of all groups of ``conf/`` that hold options."""
    return sorted({p.parent.relative_to(CONF).as_posix() for p in CONF.rglob("*.yaml")} - {"."})


def config_folders(overrides: Sequence[str]) -> list[Path]:
    """Return ``conf/`` and the user's own config folders of a command line.

    Args:
        overrides: words as Hydra takes them; ``--config-dir FOLDER`` and ``hydra.searchpath=[FOLDER]`` name folders.
    """
    found = [CONF]
    for word, following in itertools.zip_longest(overrides, overrides[1:], fillvalue=""):
        key, _, value = word.partition("=")
        if key in ("--config-dir", "-cd"):
            found.append(expanded(value or following))
        elif key == "hydra.searchpath":
            found += [Path(place.strip(" '\"").removeprefix("file://")) for place in value.strip("[]").split(",")]
    return found


def search_path(folders: Sequence[Path]) -> str:
    """Return the override that lets Hydra find options in config folders of the user."""
    places = ",".join(f"'file://{expanded(folder).resolve()}'" for folder in folders)
    return f"hydra.searchpath=[{places}]"
