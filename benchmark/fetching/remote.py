"""A folder at an address that fsspec reads (s3, gs, az, hdfs, …): bounded in time, with errors that say what to do."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from benchmark.core.deadline import within
from benchmark.core.errors import StoreError
from benchmark.fetching.file_systems import ONE_PUT, opened, protocol_of
from benchmark.fetching.store_faults import fix_of, reason_of

Result = TypeVar("Result")
FIRST_SECONDS = 40.0
"""Within this time a place answers for the first time or is given up."""
MOST_SECONDS = 60.0
SECONDS_A_MB = 4.0
"""Beside ``MOST_SECONDS``, for what is sent; reads and listings have ``LONGEST_SECONDS``."""
LONGEST_SECONDS = 1800.0
AT_ONCE = 16
"""Files that are read side by side. 40 small ones from gcp-storage-emulator: 1.0 to 1.4 s by 16, 1.5 to 4.4 s by 64."""
CHANGED = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
"""What file systems call the time of the last write."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file at an address."""

    name: str
    """Below the address, with slashes."""
    size: int
    """Bytes."""
    changed: float
    """Last written (Unix time); the present where the file system does not say."""


class Remote:
    """The files below one address.

    Credentials come from the provider's own chain alone; fsspec is given none.

    Args:
        address: as ``benchmark.core.addresses.checked_address`` returns it.

    Raises:
        StoreError: the protocol is unknown, its package is missing, the place cannot be reached, or access is refused.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._protocol = protocol_of(address)
        self._pid = -1
        self._files: Any = None
        self._root = ""
        self._connect()

    def _connect(self) -> Any:
        """Return the file system; one that was opened before a fork does not serve the child."""
        if self._pid != os.getpid():
            self._files, self._root = self._told(lambda: within(FIRST_SECONDS, lambda: opened(self.address)), "opened")
            self._pid = os.getpid()
        return self._files

    def path(self, name: str) -> PurePosixPath:
        """Return how the file system itself names a file."""
        return PurePosixPath(self._root, name)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is none; raises StoreError."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those files that are there, read side by side; raises StoreError."""
        paths = {self._at(name): name for name in names}
        if not paths:
            return {}
        files = self._connect()

        def read() -> dict[str, bytes]:
            return {paths[path]: data for path, data in _contents(files, list(paths)).items()}

        whole: dict[str, bytes] = self._told(lambda: within(LONGEST_SECONDS, read), "read")
        return whole

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place whole or not at all, over one that is there; raises StoreError."""
        files, path = self._connect(), self._at(name)
        seconds = math.ceil(MOST_SECONDS + SECONDS_A_MB * len(data) / 1e6)
        put = self._put_object if self._protocol in ONE_PUT else self._put_renamed
        self._told(lambda: within(seconds, lambda: put(files, path, data)), "written")

    @staticmethod
    def _put_object(files: Any, path: str, data: bytes) -> None:
        files.pipe_file(path, data)

    @staticmethod
    def _put_renamed(files: Any, path: str, data: bytes) -> None:
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/{temporary_name(last)}"
        files.makedirs(folder, exist_ok=True)
        try:
            files.pipe_file(temporary, data)
            if not _renamed(files, temporary, path):
                files.rm_file(temporary)
        except BaseException:
            with suppress(Exception):
                files.rm_file(temporary)
            raise

    def try_writing(self) -> None:
        """Put a small file, read it back and remove it; raises StoreError where that cannot be done.

        One that may not be removed has the name of a leftover, which ``cache prune`` knows.
        """
        name, content = temporary_name(secrets.token_hex(8)), secrets.token_bytes(16)
        self.write(name, content)
        self.check_written(name, self.read(name) == content)
        with suppress(StoreError):
            self.remove([name])

    def check_written(self, name: str, found: bool) -> None:
        """Raise StoreError unless what was put under a name was ``found`` there."""
        if not found:
            raise StoreError(
                f"{self.address} cannot be written (what was put at {name} is not what is read there): "
                f"{fix_of(OSError(), self.address)}"
            )

    def exists(self, name: str) -> bool:
        """Say whether a file is there; raises StoreError."""
        files = self._connect()
        return bool(self._told(lambda: within(MOST_SECONDS, lambda: files.exists(self._at(name))), "read"))

    def files(self, folder: str = "") -> Iterator[RemoteFile]:
        """Walk all files below a folder of the address, in no particular order; raises StoreError."""
        files, root = self._connect(), self._at(folder)

        def walk() -> Mapping[str, Mapping[str, Any]]:
            found = files.find(root, detail=True)
            return found if isinstance(found, Mapping) else {}  # adlfs lists the name of a file in a folder's place

        found = self._told(lambda: within(LONGEST_SECONDS, walk), "listed", absent={})
        start = len(self._root.rstrip("/")) + 1
        for path, about in found.items():
            if len(path) <= start:  # a file in the place of the folder
                continue
            yield RemoteFile(name=path[start:], size=int(about.get("size") or 0), changed=_changed(about))

    def folders(self) -> list[str]:
        """Return the names of the folders right below the address; raises StoreError."""
        files = self._connect()
        found = self._told(
            lambda: within(LONGEST_SECONDS, lambda: files.ls(self._root, detail=True)), "listed", absent=[]
        )
        return sorted(str(one["name"]).rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those that are gone already too; raises StoreError."""
        files, paths = self._connect(), [self._at(name) for name in names]

        def remove() -> None:
            if getattr(files, "async_impl", False):  # in bulk: a thousand a request
                with suppress(FileNotFoundError):
                    files.rm(paths)
                return
            for path in paths:
                if files.exists(path):
                    with suppress(FileNotFoundError):
                        files.rm_file(path)

        if paths:
            self._told(lambda: within(LONGEST_SECONDS, remove), "removed")

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _told(self, call: Callable[[], Any], what: str, *, absent: Any = None) -> Any:
        """Return what ``call`` returns; any failure becomes a StoreError that names the address and the fix.

        Args:
            call: what to do.
            what: what then could not be done, as a participle.
            absent: what is returned in place of FileNotFoundError; None: it is an error too.
        """
        try:
            return call()
        except Exception as error:
            if absent is not None and isinstance(error, FileNotFoundError):
                return absent
            raise StoreError(
                f"{self.address} cannot be {what} ({reason_of(error)}): {fix_of(error, self.address)}"
            ) from error


def temporary_name(last: str) -> str:
    """Return a hidden name for a file that is to be called ``last``, which nobody else takes."""
    return f".{last[:16]}.{os.getpid()}.{secrets.token_hex(8)}.tmp"


def _contents(files: Any, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the bytes of those files that are there, read side by side where the file system can."""
    if not getattr(files, "async_impl", False):
        found = {}
        for path in paths:
            with suppress(FileNotFoundError):
                if files.exists(path):  # Hadoop's client prints pages where a file that is not there is opened
                    found[path] = files.cat_file(path)
        return found
    import asyncio

    from fsspec.asyn import sync

    async def read() -> list[bytes | None]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(path: str) -> bytes | None:
            async with gate:
                with suppress(FileNotFoundError):
                    content: bytes = await files._cat_file(path)
                    return content
                return None

        return await asyncio.gather(*map(one, paths))

    contents: list[bytes | None] = sync(files.loop, read)
    return {path: data for path, data in zip(paths, contents, strict=True) if data is not None}


def _renamed(files: Any, temporary: str, path: str) -> bool:
    """Rename a file over one that may be there; False where another writer of the same content was faster."""
    try:
        files.mv(temporary, path)
    except OSError:  # some refuse to rename over a file; between the two calls a reader finds none
        if not files.exists(path):
            raise
        with suppress(FileNotFoundError):
            files.rm_file(path)
        try:
            files.mv(temporary, path)
        except OSError:
            if not files.exists(path):
                raise
            return False
    return True


def _changed(about: Mapping[str, Any]) -> float:
    for name in CHANGED:
        value = about.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return datetime.now().timestamp()
