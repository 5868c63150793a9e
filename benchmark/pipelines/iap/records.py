"""Records of generated prompts: one reviewable JSON file a category, from which a run can be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.settings import first_problem
from benchmark.pipelines.iap.terms import Outcome

SCHEMA = 1
FOLDER = "iap_as"
"""Below the folder of prompts."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaggedImage(_Part):
    """One good image and what was seen on it."""

    id: str
    sha256: str
    tags: list[tuple[str, float | None]]


class Named(_Part):
    """One name of the object."""

    name: str
    score: float | None
    """The detector's, where it chose the name."""


class Answered(_Part):
    """One question to a prompter and what became of its answer."""

    object: str
    system: str
    user: str
    messages_sha256: str
    raw: str
    """The answer as it came."""
    terms: list[str]
    """Words that were read from it."""
    outcome: Outcome
    facts: dict[str, Any]
    """Who answered: model, version, response id, tokens; nothing secret."""
    asked: str
    """Time (UTC)."""


class PromptRecord(_Part):
    """How the prompt of one category came about."""

    schema_version: Literal[1]
    key: str
    """Hash of everything that the prompt depends on."""
    dataset: str
    category: str
    steps: list[str]
    tagger: dict[str, Any]
    images: list[TaggedImage]
    objects: list[Named]
    objects_from: str
    """Where the names come from."""
    prompter: dict[str, Any]
    answers: list[Answered]
    captions: list[str]
    """As they are sent to the detector."""
    tokens: list[int]
    """BERT tokens of each caption, special ones included."""
    assumed: list[str]
    """What was assumed for want of something better."""


def record_path(root: Path, *, dataset: str, category: str, key: str) -> Path:
    """Return where a record lies below the folder of prompts."""
    return root / FOLDER / dataset / f"{category}-{key[:12]}.json"


def write_record(path: Path, record: PromptRecord) -> None:
    """Write a record, whole or not at all."""
    from benchmark.results.files import write_atomically

    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def read_record(path: Path) -> PromptRecord:
    """Read a record.

    Raises:
        ConfigError: it cannot be read or is not one.
    """
    try:
        return PromptRecord.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt record {path} cannot be read ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"the prompt record {path} is not valid: {first_problem(error)}; fix or delete it") from None


def find_records(folder: Path, *, dataset: str, category: str) -> list[tuple[Path, PromptRecord]]:
    """Return the records of a category, sorted by file name.

    Args:
        folder: of prompts; records lie in ``iap_as/<dataset>``, or in ``<dataset>`` of a folder given by the user.

    Raises:
        ConfigError: there is none, with near categories; or one is not valid.
    """
    places = [folder / FOLDER / dataset, folder / dataset]
    place = next((one for one in places if one.is_dir()), None)
    if place is None:
        raise ConfigError(
            f"there are no prompt records of {dataset} in {folder}: looked for {places[0]}; run once with another "
            "tagger and prompter, which writes them, or name the folder with pipeline.prompter.path=…"
        )
    read = [(path, read_record(path)) for path in sorted(place.glob("*.json"))]
    found = [(path, record) for path, record in read if record.category == category]
    if not found:
        near = near_matches(category, [record.category for _, record in read])
        raise ConfigError(f"{place} has no prompt record of category {category!r}; {near}")
    return found


def only(found: Mapping[Any, Path], *, what: str, category: str, key: str) -> Any:
    """Return the one distinct value; raises ConfigError listing the records where they disagree."""
    if len(found) != 1:
        names = ", ".join(sorted(path.name for path in found.values())) or "none that fits"
        raise ConfigError(
            f"the records of category {category!r} do not give one {what} ({names}); keep the one that is meant in a "
            f"folder of its own and name it with {key}=…"
        )
    return next(iter(found))
