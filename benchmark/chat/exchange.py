"""One file with all answers, so that others can score them again without a key."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.chat.answers import AnswerStore, Folder, Record
from benchmark.core.errors import DataError
from benchmark.results.files import write_atomically

LIMIT = 1 << 24
"""Longest line that is read, bytes."""


class Line(BaseModel):
    """One line of an exported file."""

    model_config = ConfigDict(extra="forbid")
    folder: Folder
    record: Record


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did."""

    new: int
    known: int
    """The same answer was there."""
    kept: int
    """Another answer to the same question was there and stays."""


def export_answers(store: AnswerStore, path: Path, *, model: str | None = None, dataset: str | None = None) -> int:
    """Write the records of a store as one file, a line each; equal stores give equal bytes.

    Args:
        store: where the records are.
        path: written at once; a name that ends in ``.gz`` is compressed.
        model: only this model's.
        dataset: only this dataset's.

    Returns:
        How many records were written, misses included.
    """
    stream, number = io.BytesIO(), 0
    for folder in _folders():
        for record in store.records(folder):
            if model in (None, record.request.get("model")) and dataset in (None, record.dataset):
                stream.write(Line(folder=folder, record=record).model_dump_json().encode() + b"\n")
                number += 1
    content = stream.getvalue()
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return number


def import_answers(store: AnswerStore, path: Path) -> Imported:
    """Take the records of an exported file over; an answer that is here already stays.

    Raises:
        DataError: a line that is damaged, or was changed after it was written; nothing of the file is taken over.
    """
    lines = list(_read(path))
    new = known = kept = 0
    for line in lines:
        folder, record = line.folder, line.record
        own = store.get(record.key) or store.get(record.key, folder)
        if own is not None:
            known, kept = (known + 1, kept) if own.digest == record.digest else (known, kept + 1)
            continue
        store.put(record, folder)
        new += 1
    return Imported(new=new, known=known, kept=kept)


def _folders() -> tuple[Folder, Folder]:
    return "answers", "misses"


def _read(path: Path) -> Iterator[Line]:
    fix = "get the file again"
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            number = 0
            while text := lines.readline(LIMIT):
                number += 1
                try:
                    line = Line.model_validate_json(text)
                except ValidationError:
                    raise DataError(f"{path}: line {number} is not an answer record; {fix}") from None
                if not line.record.whole():
                    raise DataError(f"{path}: line {number} was changed after it was written; {fix}")
                yield line
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); {fix}") from None
