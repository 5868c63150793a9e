"""The stage store: content-addressed, atomic, shared by processes and hosts."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.core.errors import StoreError
from benchmark.core.memory import Memory
from benchmark.stages.codec import Artifact, CorruptEntryError, Value, pack, plain, unpack
from benchmark.stages.size_limit import SizeLimit
from benchmark.stages.store_files import LEFTOVER, SUFFIX, Entry, write_file

__all__ = ["Artifact", "Lookup", "Store", "store_root"]

STAGE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
KEY = re.compile(r"[0-9a-f]{16,128}")
TOUCH_AFTER = 60.0
"""Seconds: an entry read again within this time keeps its old last-used time, which saves a write a read."""


def store_root(cache_root: Path) -> Path:
    """Return the folder of the stage store below the cache folder."""
    return Path(cache_root) / "stages"


class Lookup(NamedTuple):
    """What a read found: the artifact or None, and whether a corrupt entry was dropped."""

    artifact: dict[str, Value] | None
    dropped: bool


class Store:
    """A folder of stage results: ``<root>/<stage>/<key[:2]>/<key>.safetensors.zst``.

    A write goes to a temporary name in the same folder and is then renamed, so a reader sees a whole entry
    or none, whichever instant a writer dies at, and any number of processes and hosts may share the folder:
    two that write one key write the same content. Nothing is synced to the disk on purpose: after a power
    cut an entry may be short or empty, and such an entry is found by its checksum and computed again.

    Args:
        root: the folder; made at the first write.
        max_bytes: when the entries grow past this, those unused longest are removed; None: no limit.
        memory: where small entries are kept that this process has read or written; None: every read is from the disk.
    """

    look_ahead = 1
    """So many images are worth a ``fetch`` at once."""

    def __init__(self, root: Path, *, max_bytes: int | None = None, memory: Memory | None = None) -> None:
        self.root = Path(root)
        self.place = str(root)
        """What people call it."""
        self._name = str(self.root.absolute())
        self._limit = None if max_bytes is None else SizeLimit(self.place, max_bytes)
        self.memory = memory
        self.dropped: Counter[str] = Counter()
        """Corrupt entries met so far, by stage."""
        self._noted: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def path(self, stage: str, key: str) -> Path:
        """Return where an entry lies, stored or not.

        Raises:
            StoreError: the stage name or the key cannot be a file name.
        """
        if not STAGE_NAME.fullmatch(stage):
            raise StoreError(f"stage name {stage!r}: use lower-case letters, digits, '_', '-' and '.'")
        if not KEY.fullmatch(key):
            raise StoreError(f"stage {stage!r}: key {key!r} is not a hex digest")
        return self.root / stage / key[:2] / f"{key}{SUFFIX}"

    def get(self, stage: str, key: str) -> dict[str, Value] | None:
        """Return the stored artifact, or None when there is none that can be used.

        Raises:
            StoreError: the file is there but the system does not let it be read.
        """
        return self.lookup(stage, key).artifact

    def lookup(self, stage: str, key: str) -> Lookup:
        """Like ``get``, and says whether a corrupt entry was met (and removed, where the folder is writable)."""
        memory = self.memory if self.memory is not None and self.memory.max_bytes else None
        known = None if memory is None else memory.get((self._name, stage, key))
        if known is not None:
            return Lookup(_copied(known), False)
        found = self._read(stage, key)
        if memory is not None and found.artifact is not None:
            memory.put((self._name, stage, key), _copied(found.artifact))
        return found

    def _read(self, stage: str, key: str) -> Lookup:
        """Read an entry from where it lies; a corrupt one is removed."""
        path = self.path(stage, key)
        try:
            with path.open("rb") as file:
                data = file.read()
                used = os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return Lookup(None, False)
        except OSError as error:
            if error.errno == errno.ESTALE:  # replaced on another host between open and read
                return Lookup(None, False)
            raise StoreError(f"store entry {path} cannot be read ({error.strerror}): fix its permissions") from error
        try:
            artifact = unpack(data, stage=stage, key=key)
        except CorruptEntryError:
            self._count_dropped(stage)
            with contextlib.suppress(OSError):  # a folder that is only readable serves its good entries all the same
                path.unlink()
            return Lookup(None, True)
        if time.time() - used > TOUCH_AFTER:
            with contextlib.suppress(OSError):
                os.utime(path)
        return Lookup(artifact, False)

    def _count_dropped(self, stage: str) -> None:
        with self._lock:
            self.dropped[stage] += 1

    @property
    def here(self) -> Store:
        """The part of the store on this machine: for what is large, or sooner made again than sent."""
        return self

    def for_entries_of(self, size: int) -> Store:
        """Return the store that keeps entries of about so many bytes: at an address, ``here`` for large ones."""
        return self

    def fetch(self, stage: str, keys: Iterable[str]) -> list[str]:
        """Bring entries onto this machine at once; return the keys of which it is sure that none is stored."""
        return []

    def present(self, stage: str, keys: Iterable[str]) -> set[str]:
        """Return those of some keys that are stored, without reading the entries."""
        return {key for key in keys if self.contains(stage, key)}

    def contains(self, stage: str, key: str) -> bool:
        """Say whether a file lies there, without reading it (it may turn out corrupt)."""
        return self.path(stage, key).exists()

    def put(self, stage: str, key: str, artifact: Artifact) -> None:
        """Store an artifact; an entry that is there already is replaced.

        Raises:
            StoreError: a value that cannot be stored, a full disk, or a folder that cannot be written.
        """
        self._keep(stage, key, pack(artifact, stage=stage, key=key))
        if self.memory is not None and self.memory.max_bytes:
            self.memory.put((self._name, stage, key), _copied(plain(artifact)))

    def _keep(self, stage: str, key: str, data: bytes) -> None:
        """Put the bytes of an entry where they belong."""
        write_file(self.path(stage, key), data, root=self.root)
        if self._limit is not None:
            self._limit.added(len(data), self.entries)

    def is_noted(self, stage: str, fingerprint: str) -> bool:
        """Say whether the description of a stage lies beside its entries."""
        if (stage, fingerprint) not in self._noted and self._note_path(stage, fingerprint).exists():
            self._noted.add((stage, fingerprint))
        return (stage, fingerprint) in self._noted

    def note(self, stage: str, fingerprint: str, facts: Mapping[str, Any]) -> None:
        """Write the description of a stage (JSON) beside its entries.

        Raises:
            StoreError: a full disk or a folder that cannot be written.
        """
        text = json.dumps({"fingerprint": fingerprint, **facts}, indent=1, sort_keys=True)
        self._write_note(stage, fingerprint, (text + "\n").encode())
        self._noted.add((stage, fingerprint))

    def _write_note(self, stage: str, fingerprint: str, data: bytes) -> None:
        write_file(self._note_path(stage, fingerprint), data, root=self.root)

    def _note_path(self, stage: str, fingerprint: str) -> Path:
        return self.path(stage, fingerprint).parents[1] / f"{fingerprint}.json"

    def notes(self, stage: str) -> list[dict[str, Any]]:
        """Return the stage descriptions that were noted under this name, newest first; unreadable ones are left out."""
        found: list[tuple[float, dict[str, Any]]] = []
        for changed, data in self._read_notes(stage):
            with contextlib.suppress(ValueError, RecursionError):
                facts = json.loads(data)
                if isinstance(facts, dict):
                    found.append((changed, facts))
        return [facts for _, facts in sorted(found, key=lambda pair: -pair[0])]

    def _read_notes(self, stage: str) -> Iterator[tuple[float, bytes]]:
        """Yield when a description was written, and its bytes."""
        for path in (self.root / stage).glob("*.json"):
            with contextlib.suppress(OSError):
                yield path.stat().st_mtime, path.read_bytes()

    def stages(self) -> list[str]:
        """Return the names of the stages that the folder holds anything of."""
        return sorted(p.name for p in self.root.glob("*") if p.is_dir() and STAGE_NAME.fullmatch(p.name))

    def tidy(self, stage: str) -> None:
        """Remove folders of this stage that hold nothing, and its descriptions once no entry is left."""
        folder = self.root / stage
        if next(self.entries(stage), None) is None:
            for path in folder.glob("*.json"):
                if KEY.fullmatch(path.stem):
                    path.unlink(missing_ok=True)
                    self._noted.discard((stage, path.stem))
        for child in [*folder.glob("*/"), folder]:
            with contextlib.suppress(OSError):  # not empty, or gone: another process is at work there
                child.rmdir()

    def contents(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the bytes of entries; those that vanish meanwhile are left out."""
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry, Path(entry.path).read_bytes()

    def remove(self, entries: Iterable[Entry]) -> None:
        """Remove files of the store, those that are gone already too."""
        for entry in entries:
            Path(entry.path).unlink(missing_ok=True)

    def entries(self, stage: str | None = None) -> Iterator[Entry]:
        """Walk the stored entries, of one stage or of all, in no particular order."""
        for path, name, status in self._files(stage):
            if path.name.endswith(SUFFIX) and KEY.fullmatch(path.name.removesuffix(SUFFIX)):
                yield Entry(path=path, stage=name, size=status.st_size, used=status.st_mtime)

    def leftovers(self, stage: str | None = None, *, older_than: float = 3600.0) -> Iterator[Entry]:
        """Walk temporary files that no writer can still need: those older than this many seconds."""
        for path, name, status in self._files(stage):
            if LEFTOVER.fullmatch(path.name) and time.time() - status.st_mtime >= older_than:
                yield Entry(path=path, stage=name, size=status.st_size, used=status.st_mtime)

    def _files(self, stage: str | None) -> Iterator[tuple[Path, str, os.stat_result]]:
        """Walk all files of the store with their stage; those that vanish meanwhile are left out."""
        for name in [stage] if stage else self.stages():
            for parent, _, files in os.walk(self.root / name):
                for file in files:
                    path = Path(parent, file)
                    with contextlib.suppress(FileNotFoundError):
                        yield path, name, path.stat()


def _copied(artifact: Mapping[str, Value]) -> dict[str, Value]:
    """Copy the arrays, so that a caller who changes one does not change what the next caller gets."""
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in artifact.items()}
