"""The answer store: every reply that was paid for, kept as JSON under the hash of what was asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.chat.question import digest
from benchmark.chat.reply import Reply
from benchmark.core.errors import StoreError
from benchmark.results.files import write_atomically

log = logging.getLogger(__name__)
Folder = Literal["answers", "misses"]


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
        self._by_recipe: dict[str, str] | None = None

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

    def by_recipe(self, recipe: str) -> Record | None:
        """Return the record that was made from the same files and settings, an answer before a miss."""
        if self._by_recipe is None:
            self._by_recipe = {}
            folders: tuple[Folder, ...] = ("misses", "answers")
            for folder in folders:
                for record in self.records(folder):
                    self._by_recipe[record.recipe] = record.key
        key = self._by_recipe.get(recipe)
        return None if key is None else self.get(key) or self.get(key, "misses")

    def records(self, folder: Folder = "answers") -> Iterator[Record]:
        """Yield all whole records of a folder in the order of their keys."""
        for path in sorted((self.root / folder).glob("??/*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def holds_any(self, model: str) -> bool:
        """Say whether there is an answer of a model."""
        return any(record.request.get("model") == model for record in self.records())
