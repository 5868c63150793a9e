"""Whether a cell of a paper's table could be run here, and what command fixes it where not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import compose, loader, override_words, strict_files
from benchmark.config.compose import Composed, compose_each
from benchmark.core import yaml_files
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.resources import CONF, commands_here
from benchmark.report.kept import kept

if TYPE_CHECKING:
    from benchmark.config.pipeline import Pipeline
    from benchmark.report.papers.paper import Cell


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why a cell has no number of ours."""

    phrase: str
    fix: str | None = None
    """The command that fixes it, as it is given here; None where nothing does."""

    def __post_init__(self) -> None:
        """Name the console command where there is no make."""
        if self.fix is not None:
            object.__setattr__(self, "fix", commands_here(self.fix))


def obstacles(cells: Sequence[Cell], *, extra: Sequence[str]) -> list[Missing | None]:
    """Return what keeps each cell from running, as far as that shows without reading data; None where nothing does.

    Datasets and pipelines are looked at once, however many cells they stand behind.

    Args:
        cells: of a table.
        extra: settings from the command line.
    """
    about = [_without_config(cell) for cell in cells]
    asked = [i for i, cell in enumerate(cells) if about[i] is None and not cell.row.parts]
    words = {i: _words(cells[i], extra) for i in asked}
    data = _looked(data_missing, "dataset", [words[i][0] for i in asked])
    pipelines = _looked(pipeline_missing, "pipeline", [words[i][1] for i in asked])
    return [both(data[words[i][0]], pipelines[words[i][1]]) if i in words else about[i] for i in range(len(cells))]


Words = tuple[str, ...]


def _words(cell: Cell, extra: Sequence[str]) -> tuple[Words, Words]:
    """Return the settings that say which data a cell wants, and those that say which weights."""
    settings = extras_for(cell, extra)
    own = cell.row.cells.get(cell.method.pipeline or "", ())
    others = ("dataset", "metric", "protocol")
    return (
        tuple(o for o in (*cell.row.overrides, *settings) if not o.startswith("pipeline")),
        tuple(o for o in (*cell.overrides, *settings) if not o.startswith(others) and o not in own),
    )


def _looked(
    look: Callable[[Mapping[str, Any], Mapping[str, str]], Missing | None], group: str, lines: Sequence[Words]
) -> dict[Words, Missing | None]:
    """Look at the config of each line once; a setting that is refused is what is missing."""
    different = list(dict.fromkeys(lines))
    found: dict[Words, Missing | None] = {}
    for words, composed in zip(different, _composed(group, different), strict=True):
        try:
            if isinstance(composed, ConfigError):
                raise composed
            found[words] = look(*composed)
        except ConfigError as error:
            found[words] = Missing(phrase=first_line(error))
    return found


def _composed(group: str, lines: Sequence[Words]) -> list[Composed | ConfigError]:
    """Return what ``compose_each`` does, kept while neither ``conf/`` nor the environment that it reads changes."""
    if any(word.startswith(("hydra", "networks")) for words in lines for word in words):  # a user's files, or our code
        return compose_each(group, lines)
    files = sorted(CONF.rglob("*.yaml"))
    names = {name for file in files for name in re.findall(r"oc\.env:(\w+)", file.read_text(encoding="utf-8-sig"))}
    about = [group, lines, [str(file) for file in files], {name: os.environ.get(name) for name in sorted(names)}]
    found = kept(
        lambda _: [str(one) if isinstance(one, ConfigError) else one for one in compose_each(group, lines)],
        of=[*files, json.dumps(about)],
        by=(compose, loader, override_words, strict_files, yaml_files),
    )
    return [ConfigError(one) if isinstance(one, str) else (one[0], one[1]) for one in found]


def pipeline_missing(composed: Mapping[str, Any], choices: Mapping[str, str]) -> Missing | None:
    """What a pipeline lacks: weights, and what it says itself (a key)."""
    from benchmark.config.schema import RunSettings, pipeline_settings, settings_from

    pipeline, run = (
        pipeline_settings(composed["pipeline"]),
        settings_from("run", RunSettings, composed["run"]),
    )
    found = pipeline.missing()
    own = None if found is None else Missing(phrase=found[0], fix=found[1])
    return both(weights_missing(pipeline, run.weights_root), own)


def _without_config(cell: Cell) -> Missing | None:
    """What stands in the way whatever the settings are."""
    from benchmark.config.options import options

    if cell.row.private:
        return Missing(phrase="private dataset")
    if cell.method.pipeline is None:
        return Missing(phrase=cell.method.absent or "no pipeline of this package")
    if cell.row.parts:
        return None
    for group, name in (("pipeline", cell.method.pipeline), ("dataset", _option(cell.overrides, "dataset"))):
        if name not in options(group):
            return Missing(phrase=f"no {group} {name} in conf/{group}")
    return None


def data_missing(composed: Mapping[str, Any], choices: Mapping[str, str]) -> Missing | None:
    """Say that a dataset is not there at all; None when its folder holds something, or when it is generated."""
    from benchmark.config.schema import option_settings
    from benchmark.data.card import find_card

    settings = option_settings("dataset", composed["dataset"])
    name = dataset_name(settings, choices)
    card = find_card(name)
    path = getattr(settings, "path", None)
    place = Path(path) if path else Path(composed["run"]["data_root"]) / name
    if holds_data(place) or (card is not None and card.source.kind == "generated"):
        return None
    return Missing(phrase=f"data missing: {name}", fix=f"make data DATASET={name}")


def holds_data(folder: Path) -> bool:
    """Whether there is anything in a dataset's folder beside its card, which lies at the default place."""
    return folder.is_dir() and any(p.name != "card.yaml" and not p.name.startswith(".") for p in folder.iterdir())


def dataset_name(settings: object, choices: Mapping[str, str]) -> str:
    """Name of the data, whichever preset of it was chosen."""
    return str(getattr(settings, "name", choices["dataset"]))


def both(*problems: Missing | None) -> Missing | None:
    """Join what is missing into one reason."""
    found = [p for p in problems if p is not None]
    if len(found) < 2:
        return found[0] if found else None
    return Missing(phrase="; ".join(p.phrase for p in found), fix=" && ".join(p.fix for p in found if p.fix))


def weights_missing(pipeline: Pipeline, root: Path) -> Missing | None:
    """Say which registered weights of a pipeline are not there; None when all are, or it needs none."""
    from benchmark.weights import find, hub
    from benchmark.weights.local import command_for

    try:
        wanted = pipeline.networks().registered()
        entries = [find(weights) for weights in wanted if not hub.is_name(weights)]
    except (ConfigError, WeightsError) as error:
        return Missing(phrase=first_line(error))
    absent = [e.name for e in entries if any(not file.place(root).is_file() for file in e.files)]
    absent += [name for name in wanted if hub.is_name(name) and not hub.is_here(name)]
    if not absent:
        return None
    return Missing(phrase=f"weights missing: {', '.join(absent)}", fix=command_for(absent))


def extras_for(cell: Cell, extra: Sequence[str]) -> list[str]:
    """Return the settings of the command line that hold for a cell.

    A key that begins with the name of a pipeline or dataset (``sam_clip.sam.model=vit_b``,
    ``mvtec.allow_partial=true``) holds for the cells of that one alone.
    """
    from benchmark.config.options import options

    chosen = []
    own = {"pipeline": cell.method.pipeline, "dataset": _option(cell.overrides, "dataset")}
    for setting in extra:
        head, _, rest = setting.partition(".")
        group = next((g for g in own if head in options(g)), None)
        if group is None:
            chosen.append(setting)
        elif head == own[group]:
            chosen.append(f"{group}.{rest}")
    return chosen


def _option(overrides: Sequence[str], group: str) -> str:
    return next((o.partition("=")[2] for o in overrides if o.startswith(f"{group}=")), "")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).splitlines()[0]
