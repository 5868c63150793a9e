"""The answer store: every reply that was paid for, kept as JSON under the hash of what was asked."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.chat.question import Draft, Made, digest
from benchmark.chat.reply import Reply
from benchmark.core.errors import StoreError
from benchmark.results.files import write_atomically

log = logging.getLogger(__name__)
Folder = Literal["answers", "misses"]
_FOLDERS: tuple[Folder, Folder] = ("answers", "misses")
_RECIPE = re.compile(rb'"recipe"\s*:\s*"([0-9a-f]{64})"')


class Record(BaseModel):
    """One question and what came of it; holds no image and no key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    """sha256 (hex) of ``request``."""
    recipe: str
    request: dict[str, Any]
    """Provider, model, settings, texts verbatim, hashes of the images."""
    prepared: dict[str, Any]
    """How the image was made from its file."""
    dataset: str
    sample: str
    """The first sample that was asked about with these bytes."""
    body: str | None = None
    """The reply as it came (``benchmark.chat.reply``); None where none did."""
    response: dict[str, Any] | None = None
    """The reply as earlier versions kept it."""
    failure: str | None
    """Why there is no answer; the last reply may be there all the same."""
    cost_usd: float | None
    """At the price on the day; None where no price is known."""
    attempts: int
    latency_s: float
    software: str
    time: str
    """UTC, ISO 8601."""
    digest: str = ""
    """sha256 (hex) of all the rest."""

    @property
    def reply(self) -> Reply | None:
        """The reply that is an answer; None where there is none."""
        return None if self.failure is not None else self.came

    @property
    def came(self) -> Reply | None:
        """The last reply, be it an answer or not."""
        return self.response if self.body is None else self.body

    def sealed(self) -> Record:
        """Return a copy with its digest."""
        return self.model_copy(update={"digest": self._own_digest()})

    def whole(self) -> bool:
        """Say whether nothing was changed since it was written."""
        return self.digest == self._own_digest() and self.key == digest(self.request)

    def _own_digest(self) -> str:
        missing = {"body"} if self.body is None else set()  # the digests of earlier versions know nothing of it
        return digest(json.loads(self.model_dump_json(exclude={"digest", *missing})))


class AnswerStore:
    """Records below one folder: ``answers/`` are used again, ``misses/`` are calls that gave no answer.

    A miss (blocked or failed) is asked again by the next run, and read by a replay.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._keys: dict[str, set[str]] | None = None
        """Recipe to the keys of its records."""

    def get(self, key: str, folder: Folder = "answers") -> Record | None:
        """Return a record, or None; a damaged one is set aside with a warning."""
        return self._read(self._path(key, folder))

    def _path(self, key: str, folder: Folder) -> Path:
        return self.root / folder / key[:2] / f"{key}.json"

    def _read(self, path: Path) -> Record | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            content = b""  # no record: set aside as a damaged one
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror})") from None
        try:
            record = Record.model_validate_json(content)
        except ValidationError:
            record = None
        if record is None or not record.whole() or record.key != path.stem:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            log.warning("a stored answer is damaged and was set aside: %s", aside)
            return None
        return record

    def put(self, record: Record, folder: Folder) -> None:
        """Write a record at once and whole; an answer takes the place of an earlier miss."""
        sealed = record.sealed()
        write_atomically(self._path(record.key, folder), sealed.model_dump_json(indent=1).encode())
        if self._keys is not None:
            self._keys.setdefault(record.recipe, set()).add(record.key)
        if folder == "answers":
            self._path(record.key, "misses").unlink(missing_ok=True)

    def retire(self, key: str) -> None:
        """Move an answer aside that is about to be asked anew; it was paid for, so it is kept."""
        path = self._path(key, "answers")
        if path.exists():
            number = 0
            while (aside := path.with_suffix(f".{number}.superseded")).exists():
                number += 1
            path.replace(aside)

    def find(self, draft: Draft, made: Made, folder: Folder) -> Record | None:
        """Return the record of a question, also where the library that prepared its image makes other bytes today."""
        record = self.get(made.key, folder)
        others = [] if record is not None else self.keys_of(draft.recipe)
        asked = _without_pixels(made.request)
        for other in others:
            found = self.get(other, folder)
            same = found is not None and _without_pixels(found.request) == asked
            if same and found is not None and draft.alike(found.prepared, made.prepared):
                return found
        return record

    def keys_of(self, recipe: str) -> list[str]:
        """Return the keys under which there are, or were, records of a recipe, in order."""
        if self._keys is None:
            found: dict[str, set[str]] = {}
            for folder in _FOLDERS:
                for path in (self.root / folder).glob("??/*.json"):
                    found.setdefault(_recipe_in(path) or "", set()).add(path.stem)
            self._keys = found
        return sorted(self._keys.get(recipe, ()))

    def records(self, folder: Folder = "answers") -> Iterator[Record]:
        """Yield all whole records of a folder in the order of their keys."""
        for path in sorted((self.root / folder).glob("??/*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def holds_any(self, model: str) -> bool:
        """Say whether there is an answer of a model."""
        return any(record.request.get("model") == model for record in self.records())


def _without_pixels(request: Mapping[str, Any]) -> dict[str, Any]:
    parts = [{"image": part["image"]} if "image" in part else part for part in request.get("parts", [])]
    return {name: value for name, value in request.items() if name != "frame"} | {"parts": parts}


def _recipe_in(path: Path) -> str | None:
    """Read the recipe of a record from the head of its file; the record itself is read where it is wanted."""
    try:
        with path.open("rb") as file:
            found = _RECIPE.search(file.read(1024))
    except OSError:
        return None
    return found[1].decode() if found else None
