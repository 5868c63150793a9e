"""What ``--help`` shows: the groups, and every key of the chosen options with its value and the comment of its YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose
from benchmark.config.options import config_folders, groups, options, search_path
from benchmark.core.resources import CONF
from benchmark.core.yaml_files import read_yaml

_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w/@.-]+):(?P<value>[^#]*?)(?:(?<=\s)#\s*(?P<comment>.*))?")
WIDTH = 44
"""Column that comments begin at."""
LONGEST = 100
"""Characters of a value that are shown."""


def help_text(words: Sequence[str]) -> str:
    """Return the help of a run for the options that a command line chooses.

    Args:
        words: the command line without ``--help``.

    Raises:
        ConfigError: it cannot be composed.
    """
    folders = config_folders(words)
    settings_words = [word for word in words if "=" in word and not word.startswith("-")]
    composed, choices = compose([*settings_words, *([search_path(folders[1:])] if folders[1:] else [])])
    told = comments(CONF / "config.yaml", "")
    for group, option in choices.items():
        name, _, place = group.partition("@")
        for file in _files(name, option, folders):
            told |= comments(file, place or name)
    lines = [read_yaml(CONF / "config.yaml")["hydra"]["help"]["header"], "Groups, each chosen by group=option:", ""]
    lines += [f"{group}: {', '.join(options(group, words))}" for group in groups() if not group.startswith("hydra/")]
    lines += ["", "Every key below can be set as key=value; other options have others: add pipeline=NAME to see them."]
    for group, settings in composed.items():
        title = f"{group}={choices[group]}" if group in choices else group
        lines += ["", title, *_keys(settings, group, told)]
    return "\n".join(lines)


def _keys(settings: Mapping[str, Any], place: str, told: Mapping[str, str]) -> Iterator[str]:
    for key, value in settings.items():
        if key == "_target_":
            continue
        full = f"{place}.{key}"
        inner = isinstance(value, Mapping) and value
        text = "" if inner else shown(value)
        line = f"  {full}{'' if inner else '='}{text}"
        comment = told.get(full)
        yield f"{line:{WIDTH}}  # {comment}" if comment else line
        if inner:
            yield from _keys(value, full, told)


def shown(value: Any) -> str:
    """Return a value as one line of at most ``LONGEST`` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", " ")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _files(group: str, option: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The file of an option, behind those that it inherits."""
    file = next((p for folder in folders if (p := folder / group / f"{option}.yaml").is_file()), None)
    if file is None:
        return
    for entry in read_yaml(file).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            yield from _files(group, entry, folders)
    yield file


def comments(file: Path, place: str) -> dict[str, str]:
    """Return the comments at the ends of the lines of a YAML file, by dotted key below ``place``."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        indent = len(match["indent"])
        while above and above[-1][0] >= indent:
            above.pop()
        above.append((indent, match["key"]))
        if match["comment"]:
            found[".".join([*([place] if place else []), *(key for _, key in above)])] = match["comment"].strip()
    return found
