"""Images that something lists, a table or a file of annotations: one row an image, the same checks for all."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from benchmark.core.drawings import Drawing
from benchmark.core.errors import DataError, near_matches
from benchmark.core.text import counted
from benchmark.data.records import GOOD, ArchiveSplit, Record, Scan

SPLITS: dict[str, ArchiveSplit] = {
    "": "all", "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "test", "valid": "test", "validation": "test",
}  # fmt: skip
VALIDATION = ("val", "valid", "validation")
"""Words of a split, and those that stand for the test where there is no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One image of a list."""

    where: str
    """File and place in it, for messages."""
    image: str
    """Path as it is written, or below the root."""
    defective: bool
    mask: str = ""
    drawing: Drawing | None = None
    category: str = ""
    """"": the dataset's name."""
    defect_type: str = ""
    group: str = ""
    split: str = ""


class Places:
    """Finds the files of a list below one folder; each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.respelt: list[str] = []
        """Paths that differ from a file's in upper and lower case, or in how an accent is composed."""
        self._roots = sorted({root.as_posix().rstrip("/"), root.resolve().as_posix().rstrip("/")}, key=len)
        self._names: dict[str, frozenset[str]] = {}
        self._found: dict[str, str | None] = {"": ""}

    def find(self, text: str, where: str, *, base: str = "") -> str:
        """Return a path as one below the root, with forward slashes, spelt as the file is.

        Args:
            text: as it is written, on Windows perhaps.
            where: file and place in it, for messages.
            base: folder below the root that it is relative to.

        Raises:
            DataError: it is empty, leads out of the root, or nothing is there.
        """
        path = self.below(text, where, base=base)
        found = self.spelt(path)
        if found is None:
            folder, _, name = path.rpartition("/")
            there = self.names(folder)
            hint = f" ({near_matches(name, there)})" if there else ""
            raise DataError(
                f"{where}: {self.root / path} is not there{hint}; correct the path, or give "
                "dataset.root=<folder that the paths are below>"
            )
        if found != path:
            self.respelt.append(path)
        return found

    def below(self, text: str, where: str, *, base: str = "") -> str:
        """Return a path as one below the root, whether or not a file is there; raises as ``find`` does."""
        if not text:
            raise DataError(f"{where}: no image is named; write the path of one")
        path, drive = text, ""
        if "\\" in text or text[1:2] == ":":
            windows = PureWindowsPath(text)
            path, drive = windows.as_posix(), windows.drive
        for root in self._roots:
            if path.startswith(f"{root}/"):
                path, base = path[len(root) + 1 :], ""
        whole = posixpath.normpath(posixpath.join(base, path))
        if whole.startswith(("/", "../")) or whole in ("..", ".") or drive or "\0" in whole:
            raise DataError(
                f"{where}: {text} does not lie below {self.root}; write paths relative to it, or give "
                "dataset.root=<the folder above all images>"
            )
        return whole

    def spelt(self, path: str) -> str | None:
        """Return the path of the file that a path means, which may differ in case; None where there is none."""
        if not path:
            return ""
        folder, _, name = path.rpartition("/")
        if folder not in self._found:
            self._found[folder] = self.spelt(folder)
        parent = self._found[folder]
        if parent is None:
            return None
        names = self.names(parent)
        if name not in names:
            alike = [one for one in names if _plain(one) == _plain(name)]
            if len(alike) != 1:
                return None
            name = alike[0]
        return f"{parent}/{name}" if parent else name

    def names(self, folder: str) -> frozenset[str]:
        """Return the names of everything in a folder; none where there is no such folder."""
        if folder not in self._names:
            try:
                with os.scandir(self.root / folder) as entries:
                    self._names[folder] = frozenset(entry.name for entry in entries)
            except (OSError, ValueError):  # ValueError: a name that no file system can hold
                self._names[folder] = frozenset()
        return self._names[folder]

    def notes(self) -> list[str]:
        """Tell of paths that are spelt otherwise than their files."""
        if not self.respelt:
            return []
        told = counted(len(self.respelt), "path differs from its file", "paths differ from their files")
        return [f"{told} in upper and lower case; first {self.respelt[0]}"]


def scan_listed(rows: Iterable[Listed], places: Places, name: str, problems: list[str]) -> Scan:
    """Make records of rows; paths that lead nowhere, images named twice and unknown splits are problems.

    Args:
        rows: of the list.
        places: where their files are.
        name: of the dataset, the category of rows without one.
        problems: to which is added what cannot be used, also by whoever makes the rows.
    """
    records: dict[str, Record] = {}
    words: dict[str, str] = {}
    for row in rows:
        try:
            record = _record(row, places, name)
        except DataError as error:
            problems.append(str(error))
            continue
        if record.image in records:
            problems.append(f"{row.where}: {record.image} stands there twice; keep one row an image")
        records.setdefault(record.image, record)
        words.setdefault(record.image, row.split.casefold())
    kept, notes = _without_validation(list(records.values()), words)
    bare = [r.image for r in kept if r.defective and not r.located]
    if bare:
        notes.append(
            f"{len(bare)} of "
            f"{counted(sum(r.defective for r in kept), 'defective image has', 'defective images have')} no "
            f"mask, the first is {bare[0]}: "
            "their labels count, their pixels do not"
        )
    return Scan(records=tuple(kept), problems=tuple(problems), notes=(*notes, *places.notes()))


def split_of(folder: str) -> str:
    """Return the word of a split that a folder is called by (``images/val``, ``train2017``); "" where none is."""
    words = [re.sub(r"[\W\d_]+$", "", part) for part in folder.casefold().split("/")[::-1]]
    return next((word for word in words if word and word in SPLITS), "")


def split_in(path: str) -> str:
    """Return the word of a split anywhere in a file's path (``instances_train2017.json``); "" where none stands."""
    words = [word for part in path.casefold().split("/")[::-1] for word in re.split(r"[^a-z]+", part)]
    return next((word for word in words if word and word in SPLITS), "")


def _record(row: Listed, places: Places, name: str) -> Record:
    image = places.find(row.image, row.where)
    mask = places.find(row.mask, row.where) if row.mask else None
    split = row.split.casefold()
    if split not in SPLITS:
        raise DataError(f"{row.where}: the split {row.split!r} is neither train nor test; write one of them, or val")
    return Record(
        image=image,
        mask=mask,
        drawing=row.drawing,
        defective=row.defective,
        category=row.category or name,
        defect_type=(row.defect_type or "defect") if row.defective else GOOD,
        split=SPLITS[split],
        group=row.group or None,
    )


def _without_validation(records: list[Record], words: Mapping[str, str]) -> tuple[list[Record], list[str]]:
    """Score validation images where there are no test images, and leave them out where there are."""
    others = [record for record in records if words[record.image] not in VALIDATION]
    number = len(records) - len(others)
    if not number:
        return records, []
    if any(words[record.image] in ("test", "testing") for record in others):
        return others, [
            f"{counted(number, 'validation image is', 'validation images are')} left out, as there are test images"
        ]
    return records, [
        f"{counted(number, 'validation image is', 'validation images are')} scored, as there are no test images"
    ]


def _plain(name: str) -> str:
    return normalize("NFC", name).casefold()
