"""Prompt tables (prompt_tables/): what is asked of each category, and what is known of its defects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from benchmark.config.prompt_files import FOLDER, prompt_file
from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.settings import AreaShare, Settings
from benchmark.core.yaml_files import read_yaml
from benchmark.models.grounding_dino import normalise
from benchmark.pipelines.saa.rules import Rule

USUAL = FOLDER / "generic.yaml"
"""What a table rests on; it has every key."""
ANY = "*"
"""Entry for categories that a table does not name."""


class CategoryPrompts(Settings):
    """Prior knowledge of one category; ``{word}`` in a text stands for ``word``."""

    word: str | None = Field(min_length=1)
    """What the category is called in texts; None: its name in the dataset."""
    captions: tuple[Annotated[str, Field(min_length=1)], ...]
    """What to look for, beside the table's general captions; each is one question, phrases end with a full stop."""
    drop_phrase: str
    """A box found by one of these captions is dropped if its words contain this; "": none is dropped for its words."""
    object_name: str
    """What the inspected object is called."""
    stray_comma: bool
    """The released code reads the object word from a sentence and keeps the comma behind it."""
    object_number: int = Field(ge=1)
    """How many objects an image shows; above one, objects are compared with each other."""
    k: int = Field(ge=1)
    """Most regions that are kept."""
    area: AreaShare
    """Regions must be smaller than this share of the object."""
    rules: tuple[Rule, ...]
    """Further symbolic rules; all must hold."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One caption as it is sent to the detector, with the phrase that marks a box as not meant."""

    caption: str
    drop_phrase: str


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The prompts of one category, texts filled in."""

    questions: tuple[Question, ...]
    object_name: str
    stray_comma: bool
    object_number: int
    k: int
    area: float
    rules: tuple[Rule, ...]

    def object_caption(self, *, keep_comma: bool) -> str:
        """Return the caption that finds the object, as it is sent."""
        return normalise(self.object_name + ("," if self.stray_comma and keep_comma else ""))


class PromptTable(Settings):
    """The prompts of one dataset."""

    source: str
    """Where the prompts come from."""
    general: tuple[str, ...]
    """Captions that are asked of every category first; a box whose words contain ``{word}`` is dropped."""
    defaults: Mapping[str, Any]
    """What a category has unless it says otherwise."""
    categories: Mapping[str, CategoryPrompts]
    """By category name; ``*``: any other one."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("categories"), Mapping):
            return values
        defaults = values.get("defaults") or {}
        filled = {str(name): {**defaults, **(entry or {})} for name, entry in values["categories"].items()}
        return {**values, "defaults": defaults, "categories": filled}

    @field_validator("categories")
    @classmethod
    def _names_some(cls, value: Mapping[str, CategoryPrompts]) -> Mapping[str, CategoryPrompts]:
        if not value:
            raise ValueError("names no category")
        return value

    def of(self, category: str, *, where: str) -> Prompts:
        """Return the prompts of a category.

        Args:
            where: the table's name, for errors.

        Raises:
            ConfigError: the table has neither the category nor ``*``, or the category asks nothing.
        """
        entry = self.categories.get(category) or self.categories.get(ANY)
        if entry is None:
            raise ConfigError(
                f"prompts {where} have no category {category!r}; add it to the table, or an entry '*' for any other; "
                f"{near_matches(category, self.categories)}"
            )
        word = category if entry.word is None else entry.word
        general = [Question(caption=normalise(_fill(text, word)), drop_phrase=word) for text in self.general]
        drop = _fill(entry.drop_phrase, word)
        own = [Question(caption=normalise(_fill(text, word)), drop_phrase=drop) for text in entry.captions]
        if not general and not own:
            raise ConfigError(f"prompts {where}: category {category!r} has no captions; give it at least one")
        return Prompts(
            questions=(*general, *own),
            object_name=_fill(entry.object_name, word),
            stray_comma=entry.stray_comma,
            object_number=entry.object_number,
            k=entry.k,
            area=entry.area,
            rules=entry.rules,
        )


def table_files(name: str, *, dataset: str) -> dict[str, Path]:
    """Return the files that a prompt table is read from: its own, and the one that it rests on.

    Arguments and errors are those of ``prompt_file``.
    """
    own = prompt_file(name, dataset=dataset, among="*.yaml", usual=USUAL.stem)
    return {"prompts": own, "prompts.generic": USUAL}


def load_table(name: str, *, dataset: str) -> PromptTable:
    """Read a prompt table; what it does not say is as in the prompt tables/generic.yaml.

    Args:
        name: name in the prompt tables, or the path of a YAML file; ``{dataset}`` stands for ``dataset``.
        dataset: name of the dataset.

    Raises:
        ConfigError: there is no such table (with near names), or it is not valid.
    """
    path, rest = table_files(name, dataset=dataset).values()
    read, usual = _read(path), _read(rest)
    own = read.get("defaults") or {}
    if isinstance(own, Mapping):
        read["defaults"] = {**usual["defaults"], **own}
    try:
        return PromptTable.model_validate({"general": usual["general"], **read})
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in e['loc'])}: {_explained(dict(e))}" for e in error.errors()]
        raise ConfigError("\n".join([f"the prompt table {path} is not valid:", *lines])) from None


def _explained(problem: Mapping[str, Any]) -> str:
    if problem["type"] != "extra_forbidden":
        return f"{problem['msg']} (got {problem['input']!r})" if problem["type"] != "missing" else "is not there"
    place = problem["loc"]
    level: type[Settings] = PromptTable if len(place) == 1 else Rule if "rules" in place else CategoryPrompts
    return f"unknown key; {near_matches(str(place[-1]), level.model_fields)}"


def _read(path: Path) -> dict[str, Any]:
    read = read_yaml(path)
    if not isinstance(read, Mapping):
        raise ConfigError(f"the prompt table {path} is not a mapping of keys to values")
    return {key: value for key, value in read.items() if key != "_target_"}


def _fill(text: str, word: str) -> str:
    return text.replace("{word}", word)
