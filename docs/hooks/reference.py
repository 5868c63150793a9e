"""The reference pages of the site: settings from ``conf/`` and their typed classes, commands, the Python API."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import FunctionType
from typing import Any, get_args

import typer
from hydra.utils import get_class
from pydantic import BaseModel

from benchmark.cli.commands import app
from benchmark.config.key_help import comments, shown
from benchmark.config.options import groups, options
from benchmark.config.schema import RunSettings
from benchmark.config.tiling import Tiling
from benchmark.core.resources import CONF
from benchmark.core.yaml_files import read_yaml
from benchmark.running.api import Evaluated, ImageMaps, evaluate

COMMANDS = """# Commands

`fm-defect-bench COMMAND …` and `python -m benchmark COMMAND …` are the same; make has a target for most.
"""
RUN = """# Settings of a run

`key=value` behind any command that runs something, or in `ARGS` of make.
"""


@cache
def pages() -> dict[str, str]:
    """Return every reference page as Markdown, by its path below ``docs/``."""
    found = {"run": run_page(), "commands": commands_page(), "python": python_page()}
    found |= {group.replace("/", "_"): group_page(group) for group in groups()}
    return {f"reference/{name}.md": text for name, text in found.items()}


def run_page() -> str:
    """The keys of every run, whatever it runs."""
    values, told = read_yaml(CONF / "config.yaml"), comments(CONF / "config.yaml", "")
    lines = [RUN]
    for group, cls in (("run", RunSettings), ("tiling", Tiling)):
        said = docstrings(cls, f"{group}.") | told
        lines += [f"## {group}", "", *key_table({group: values[group]}, said)]
    return "\n".join(lines)


def group_page(group: str) -> str:
    """Every option of one group of ``conf/``: what it is, what it builds on, and its keys."""
    lines = [f"# {group}", "", f"Chosen by `{'+' if group == 'sweep' else ''}{group}=NAME`.", ""]
    for option in options(group):
        file = CONF / group / f"{option}.yaml"
        values = {key: value for key, value in read_yaml(file).items() if key not in ("_target_", "defaults")}
        defaults = read_yaml(file).get("defaults", [])
        head = [line.removeprefix("#").strip() for line in file.read_text(encoding="utf-8").split("\n")]
        lines += [f"## {option}", "", escaped(next(line for line in head if not line.startswith("@"))), ""]
        if parents := ", ".join(_parent(group, entry) for entry in defaults if entry != "_self_"):
            lines += [f"Builds on {parents}.", ""]
        lines += key_table(values, meanings(group, option, ""))
    return "\n".join(lines)


def commands_page() -> str:
    """Every command and its words, as the command line itself tells them."""
    lines = [COMMANDS]
    for name, command in _commands(typer.main.get_command(app), ""):
        lines += [f"## {name}", "", escaped(inspect.cleandoc(command.help or "")), ""]
        rows = [(_word(one), getattr(one, "help", None) or "") for one in command.params if one.name != "help"]
        lines += table(("word", "meaning"), rows)
    return "\n".join(lines)


def python_page() -> str:
    """What ``import benchmark`` offers: the call with its arguments, and the attributes of what it returns."""
    said = inspect.getdoc(evaluate) or ""
    head, _, rest = said.partition("\n\nArgs:\n")
    sections = zip(("argument", "raises"), rest.partition("\n\nRaises:\n")[::2], strict=True)
    call = "".join(f"    {one},\n" for one in inspect.signature(evaluate).parameters.values()).replace("'", "")
    lines = [
        "# Python",
        "",
        "## evaluate",
        "",
        f"```python\nbenchmark.evaluate(\n    *,\n{call}) -> Evaluated\n```",
        "",
        head,
        "",
    ]
    for column, text in sections:
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
        lines += table((column, "meaning"), [(f"`{name}`", _line(told)) for name, told in entries])
    for cls in (Evaluated, ImageMaps):
        members = {
            k: inspect.getdoc(v) or ""
            for k, v in vars(cls).items()
            if k[0] != "_" and isinstance(v, property | FunctionType)
        }
        told = docstrings(cls, "") | {name: text.split("\n\n")[0] for name, text in members.items()}
        lines += [f"## {cls.__name__}", "", inspect.getdoc(cls) or "", ""]
        lines += table(("attribute", "meaning"), [(f"`{name}`", _line(text)) for name, text in told.items()])
    return "\n".join(lines)


def meanings(group: str, option: str, place: str) -> dict[str, str]:
    """Return what the keys of an option mean, by dotted key below ``place``: comments of its file and of those that it
    builds on, and docstrings of their settings classes where a file is silent."""
    file = CONF / group / f"{option}.yaml"
    if not file.is_file():  # of a plugin of Hydra
        return {}
    values = read_yaml(file)
    found = docstrings(get_class(values["_target_"]), place) if "_target_" in values else {}
    for entry in values.get("defaults", []):
        if entry != "_self_" and not isinstance(entry, Mapping):
            found = {**found, **meanings(group, entry, place)}
        elif isinstance(entry, Mapping):
            name, inner, below = _chosen(entry)
            found = {**found, **meanings(name, inner, f"{place}{below}." if below else place)}
    return {**found, **{f"{place}{key}": text for key, text in comments(file, "").items()}}


def key_table(values: Mapping[str, Any], said: Mapping[str, str]) -> list[str]:
    """Return a table of nested settings: dotted key, the value that stands in the option's file, what it means."""
    rows = []
    for key, value in flat(values, said):
        told = "" if value == {} or value == "" else f"`{shown(value)}`"
        rows.append((f"`{key}`", told, said.get(key, "")))
    return table(("key", "value", "meaning"), rows)


def table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table, none without rows."""
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    head = list(columns)
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""] if lines else []


def flat(values: Mapping[str, Any], said: Mapping[str, str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of nested settings; one whose keys have no meaning of their own stays whole."""
    for key, value in values.items():
        full = f"{place}{key}"
        if isinstance(value, Mapping) and not (full in said and not any(k.startswith(f"{full}.") for k in said)):
            if full in said:
                yield full, ""
            yield from flat(value, said, f"{full}.")
        else:
            yield full, value


@cache
def docstrings(cls: type, place: str) -> dict[str, str]:
    """Return the docstrings below the fields of a settings class and of those inside it, by dotted key."""
    found: dict[str, str] = {}
    for base in [one for one in reversed(cls.__mro__) if one.__module__.startswith("benchmark.")]:
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for field, below in pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[f"{place}{key}"] = _line(text)
    for key, field in cls.model_fields.items() if issubclass(cls, BaseModel) else ():
        for inner in _models(field.annotation):
            found |= docstrings(inner, f"{place}{key}.")
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the settings classes that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def escaped(text: str) -> str:
    """Keep Markdown from reading HTML, emphasis or columns in what is no code: parts between backticks stay."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[|])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("``", "`")


def _chosen(entry: Mapping[str, str]) -> tuple[str, str, str]:
    """Return group, option and place of one entry of a defaults list: ``{override /provider@provider: google}``."""
    ((key, option),) = entry.items()
    name, _, place = key.removeprefix("override ").lstrip("/").partition("@")
    return name, option, place


def _parent(group: str, entry: Any) -> str:
    """One entry of an option's defaults list, with a link to where it stands."""
    name, option, _ = _chosen(entry) if isinstance(entry, Mapping) else (group, entry, "")
    text = f"`{option if name == group else f'{name}={option}'}`"
    if not (CONF / name / f"{option}.yaml").is_file():
        return text
    return f"[{text}]({'' if name == group else name.replace('/', '_') + '.md'}#{option})"


def _commands(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")


def _word(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.metavar or one.name.upper()}`"
    return f"`{one.name}`" if one.is_flag else f"`{one.name}=…`"
