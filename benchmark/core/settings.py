"""The bases of what is read from files: immutable, closed to unknown keys. And types of settings that name files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from benchmark.core.errors import ConfigError

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:(/|:)")
"""One slash is enough: what was a ``Path`` on its way here has lost the second one."""


def is_address(text: str) -> bool:
    """Say whether a text is the address of some file system (``s3://bucket/prefix``), and not a path."""
    return _ADDRESS.match(text) is not None


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and environment variables (``$NAME``, ``${NAME}``) filled in.

    Raises:
        ValueError: it is empty, an address, or names a user or a variable that is not there.
    """
    if not str(path):
        raise ValueError("is empty; give a path")
    if is_address(str(path)):
        raise ValueError("is an address; give a path of this machine")
    # os.path's own, as pathlib's raise for an unknown user, and for a text that is too long for a path
    found = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111
    if not os.path.exists(found):  # noqa: PTH110
        if found.startswith("~"):
            user = found[1:].partition("/")[0]
            if not user:
                raise ValueError(
                    "~ stands for nothing, as this user has no home folder; set HOME or give the whole path"
                )
            raise ValueError(f"there is no user {user!r}; write ./{found} for a name with a ~")
        unset = re.search(r"\$(\w+|\{\w+\})", found)
        if unset:
            raise ValueError(f"the variable {unset[1].strip('{}')} is not set")
    return Path(found)


def _is_no_percentage(value: float) -> float:
    if value > 2.0:
        raise ValueError(f"is a share, and 1 is the whole; write {value / 100:g} for {value:g} %")
    return value


AreaShare = Annotated[float, Field(gt=0), AfterValidator(_is_no_percentage)]
"""A share of an area; somewhat above 1 where what is measured may be larger than what it is set against."""


def folder_of(variable: str, usual: str) -> Path:
    """Return the folder that an environment variable names, expanded, and ``usual`` where it is unset or empty.

    Raises:
        ConfigError: the variable names a user or a variable that is not there.
    """
    try:
        return expanded(os.environ.get(variable) or usual)
    except ValueError as error:
        raise ConfigError(f"{variable}={os.environ[variable]}: {error}") from None


@dataclass(frozen=True)
class FileOr:
    """Marks the type of a setting that names a file, whose content is part of what a run is.

    ``Annotated[str | Path, FileOr("median")]`` is the word ``median`` (a ``str``), or a file (a ``Path``); a file of
    that very name is written ``./median``.
    """

    words: tuple[str, ...] = ()
    """What else the setting may say."""
    is_name: Callable[[str], bool] = lambda word: False
    """Whether a word is a name that is looked up elsewhere, as those of the weights registry."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read a value by ``read`` alone, so that a wrong one has one message."""
        return core_schema.no_info_plain_validator_function(self.read)

    def read(self, value: object) -> str | Path:
        """Return a word or a name as it is, all else as an expanded path; raises ValueError for what is no text."""
        if not isinstance(value, str | Path):
            raise ValueError("must be " + ", ".join([*self.words, "the path of a file"]))
        if isinstance(value, str) and (value in self.words or self.is_name(value)):
            return value
        return expanded(value)


def _name_or_file(value: str) -> str:
    return str(expanded(value)) if value.startswith("~") or "$" in value else value


FilePath = Annotated[Path, FileOr()]
"""A setting that names a file, whose content is part of what a run is."""
FolderPath = Annotated[Path, AfterValidator(expanded)]
"""A setting that names a folder; what lies in it is nobody's business but its user's."""
NameOrFile = Annotated[str, AfterValidator(_name_or_file)]
"""A name below conf, or the path of a file; which file that is, ``Pipeline.reads`` says."""


class Settings(BaseModel):
    """A typed group of settings.

    Subclasses declare fields without defaults: the YAML option is the one place where a
    default stands. Unknown keys and wrong types are refused when the config is read, before
    anything is loaded (``benchmark.config.schema.build``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    toy: ClassVar[Mapping[str, str] | None] = {}
    """Keys and values, as on the command line, that make networks tiny and random (``networks=toy``); None: they
    cannot be replaced, as those of a service."""
    toy_option: ClassVar[str] = ""
    """Group whose option ``toy`` takes the place of these settings for that."""


def first_problem(error: ValidationError) -> str:
    """Return where a file is not what was to be read, and why: ``id: Field required``, ``the file: Invalid JSON``."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


class Record(BaseModel):
    """A part of a file that is written by one version and read by another; unknown fields are refused on reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def file_settings(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    """Yield the dotted key of every setting that may name a file by its type, with the file; None: it names none."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from ((f"{name}.{key}", path) for key, path in file_settings(value))
        elif names_file(field.annotation, *field.metadata):
            yield name, value if isinstance(value, Path) else None


def names_file(*annotation: Any) -> bool:
    """Whether an annotation has the mark of a file anywhere in it."""
    return any(isinstance(part, FileOr) or names_file(*get_args(part)) for part in annotation)
