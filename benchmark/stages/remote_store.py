"""The stage store at an address that machines without a common disk share, with copies on this machine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmark.core.memory import Memory
from benchmark.fetching.remote import Remote
from benchmark.stages.codec import CorruptEntryError, unpack
from benchmark.stages.store import KEY, STAGE_NAME, Lookup, Store
from benchmark.stages.store_files import LEFTOVER, SUFFIX, Entry

CHUNK = 256
"""Entries that are read at once where all are, in ``verify``."""


class RemoteStore(Store):
    """Entries at ``<address>/<stage>/<key[:2]>/<key>.safetensors.zst``, the same bytes as in a local store.

    Each entry is one atomic put; a second writer of a key puts the same content. What was read or written last is
    kept in a folder of this machine too, up to ``max_bytes``. An address does not know when an entry was last read:
    its age is that of its last write.

    Args:
        address: as ``benchmark.core.addresses.checked_address`` returns it.
        local: folder of this machine below which the copies lie.
        max_bytes: of the copies; None: no limit.
        largest: bytes above which entries are kept on this machine alone, by what their stage expects of them.
        memory: see ``Store``.

    Raises:
        StoreError: the address cannot be used; see ``benchmark.fetching.remote.Remote``.
    """

    look_ahead = 64

    def __init__(
        self, address: str, *, local: Path, max_bytes: int | None, largest: int, memory: Memory | None = None
    ) -> None:
        copies = local / "copies" / hashlib.sha256(address.encode()).hexdigest()[:16] / "stages"
        super().__init__(copies, max_bytes=max_bytes, memory=memory)
        self.place = address
        self.largest = largest
        self._here = Store(copies, max_bytes=max_bytes, memory=memory)
        self._remote = Remote(address)
        self._absent: set[tuple[str, str]] = set()
        """What the last ``fetch`` did not find, so that it is not asked for once more."""
        self._has_written = False
        """Whether an entry was put and found there: the first one is read back."""

    @property
    def here(self) -> Store:
        """The folder of the copies as a store of its own."""
        return self._here

    def for_entries_of(self, size: int) -> Store:
        """Return this store, or ``here`` where that is more than ``largest``."""
        return self if size <= self.largest else self._here

    def fetch(self, stage: str, keys: Iterable[str]) -> list[str]:
        """Bring entries onto this machine at once; return the keys of which it is sure that none is stored."""
        wanted = {_name(self, stage, key): key for key in keys if not self._here.contains(stage, key)}
        found = self._remote.read_all(wanted)
        for name, data in found.items():
            self._here._keep(stage, wanted[name], data)
            self._absent.discard((stage, wanted[name]))
        absent = [key for name, key in wanted.items() if name not in found]
        self._absent.update((stage, key) for key in absent)
        return absent

    def _read(self, stage: str, key: str) -> Lookup:
        """Read the copy, or else the entry at the address; a corrupt entry is removed from both."""
        found = self._here._read(stage, key)
        if found.artifact is not None:
            return found
        name, dropped = _name(self, stage, key), found.dropped
        data = None if (stage, key) in self._absent else self._remote.read(name)
        if data is not None:
            try:
                artifact = unpack(data, stage=stage, key=key)
            except CorruptEntryError:
                dropped = True
                self._remote.remove([name])
            else:
                self._here._keep(stage, key, data)
                return Lookup(artifact, False)
        if dropped:
            self._count_dropped(stage)
        return Lookup(None, dropped)

    def contains(self, stage: str, key: str) -> bool:
        """Say whether an entry lies here or at the address, without reading it (it may turn out corrupt)."""
        if self._here.contains(stage, key):
            return True
        return (stage, key) not in self._absent and self._remote.exists(_name(self, stage, key))

    def present(self, stage: str, keys: Iterable[str]) -> set[str]:
        """Return those of some keys that are stored: one listing, however many they are."""
        wanted = set(keys)
        here = self._here.present(stage, wanted)
        return here if len(here) == len(wanted) else here | wanted & {entry.key for entry in self.entries(stage)}

    def _keep(self, stage: str, key: str, data: bytes) -> None:
        """Put an entry at the address, then the copy: a writer killed between the two has lost nothing."""
        name = _name(self, stage, key)
        self._remote.write(name, data)
        if not self._has_written:
            self._remote.check_written(name, self._is_there(name, stage, key))
            self._has_written = True
        self._absent.discard((stage, key))
        self._here._keep(stage, key, data)

    def _is_there(self, name: str, stage: str, key: str) -> bool:
        """Say whether an entry can be read from the address; another writer's of the same key will do."""
        try:
            return unpack(self._remote.read(name) or b"", stage=stage, key=key) is not None
        except CorruptEntryError:
            return False

    def is_noted(self, stage: str, fingerprint: str) -> bool:
        """Say whether the description of a stage lies beside its entries."""
        if (stage, fingerprint) not in self._noted and self._remote.exists(f"{stage}/{fingerprint}.json"):
            self._noted.add((stage, fingerprint))
        return (stage, fingerprint) in self._noted

    def _write_note(self, stage: str, fingerprint: str, data: bytes) -> None:
        self._remote.write(f"{stage}/{fingerprint}.json", data)

    def _read_notes(self, stage: str) -> Iterator[tuple[float, bytes]]:
        notes = dict(self._notes(stage))
        for name, data in self._remote.read_all(notes).items():
            yield notes[name], data

    def _notes(self, stage: str) -> Iterator[tuple[str, float]]:
        for file in self._remote.files(stage):
            if file.name.count("/") == 1 and file.name.endswith(".json"):
                yield file.name, file.changed

    def stages(self) -> list[str]:
        """Return the names of the stages that the address holds anything of."""
        return [name for name in self._remote.folders() if STAGE_NAME.fullmatch(name)]

    def tidy(self, stage: str) -> None:
        """Remove the descriptions of this stage once no entry is left, and empty folders of the copies."""
        if next(self.entries(stage), None) is None:
            self._remote.remove([name for name, _ in self._notes(stage)])
            self._noted = {pair for pair in self._noted if pair[0] != stage}
        self._here.tidy(stage)

    def entries(self, stage: str | None = None) -> Iterator[Entry]:
        """Walk the entries at the address, of one stage or of all, in no particular order."""
        for entry in self._walk(stage):
            if entry.path.name.endswith(SUFFIX) and KEY.fullmatch(entry.key):
                yield entry

    def leftovers(self, stage: str | None = None, *, older_than: float = 3600.0) -> Iterator[Entry]:
        """Walk temporary files at the address and here that no writer can still need."""
        for entry in self._walk(stage):
            if LEFTOVER.fullmatch(entry.path.name) and time.time() - entry.used >= older_than:
                yield entry
        yield from self._here.leftovers(stage, older_than=older_than)

    def _walk(self, stage: str | None) -> Iterator[Entry]:
        for file in self._remote.files(stage or ""):
            path = self._remote.path(file.name)
            yield Entry(path=path, stage=file.name.partition("/")[0], size=file.size, used=file.changed)

    def contents(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the bytes of entries at the address, many read at once; those that vanish meanwhile are left out."""
        for start in range(0, len(entries), CHUNK):
            names = {_below(self._remote, entry): entry for entry in entries[start : start + CHUNK]}
            for name, data in self._remote.read_all(names).items():
                yield names[name], data

    def remove(self, entries: Iterable[Entry]) -> None:
        """Remove entries from the address, and their copies; leftovers where they lie."""
        far = []
        for entry in entries:
            if isinstance(entry.path, Path):  # a leftover of this machine
                entry.path.unlink(missing_ok=True)
                continue
            far.append(_below(self._remote, entry))
            if KEY.fullmatch(entry.key):
                self._here.path(entry.stage, entry.key).unlink(missing_ok=True)
        self._remote.remove(far)


def _name(store: Store, stage: str, key: str) -> str:
    """Return an entry's place below the address; raises StoreError as ``Store.path``."""
    return store.path(stage, key).relative_to(store.root).as_posix()


def _below(remote: Remote, entry: Entry) -> str:
    return entry.path.relative_to(remote.path("")).as_posix()
