"""A folder at an address that fsspec reads (s3, gs, az, hdfs, …): bounded in time, with errors that say what to do."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from benchmark.core.deadline import within
from benchmark.core.errors import StoreError, near_matches, reason
from benchmark.core.settings import is_address

Result = TypeVar("Result")
FIRST_SECONDS = 40.0
"""Within this time a place answers for the first time or is given up."""
MOST_SECONDS = 60.0
SECONDS_A_MB = 4.0
"""Beside ``MOST_SECONDS``, for what is sent; reads and listings have ``LONGEST_SECONDS``."""
LONGEST_SECONDS = 1800.0
ONE_PUT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"})
"""Where an object appears whole or not at all. Elsewhere it is written under a temporary name and renamed."""
USUAL = ("s3", "gs", "az", "abfs", "hdfs", "sftp", "smb", "file", "memory")
S3 = ("s3", "s3a")
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    protocol: {"config_kwargs": {"retries": {"max_attempts": 1}}} for protocol in S3
}
"""botocore's own retries stay out: s3fs makes five tries of each request by itself."""
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
        self._protocol = address.partition("://")[0].lower()
        self._pid = -1
        self._files: Any = None
        self._root = ""
        self._connect()

    def _connect(self) -> Any:
        """Return the file system; one that was opened before a fork does not serve the child."""
        if self._pid != os.getpid():
            from fsspec.core import url_to_fs

            def open_it() -> tuple[Any, str]:
                options = OPTIONS.get(self._protocol, {})
                files, root = url_to_fs(self.address, use_listings_cache=False, **options)
                with suppress(FileNotFoundError):  # nothing is there yet; who may not read is told so
                    files.cat_file(f"{root}/{secrets.token_hex(8)}")
                if self._protocol in S3:  # where a bucket that is not there looks like an empty one
                    bucket, prefix, _ = files.split_path(root)
                    files.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1)
                return files, root

            self._files, self._root = self._told(lambda: within(FIRST_SECONDS, open_it), "opened")
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
            found = files.cat(list(paths), on_error="return")
            for data in found.values():
                if isinstance(data, BaseException) and not isinstance(data, FileNotFoundError):
                    raise data
            return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

        whole: dict[str, bytes] = self._told(lambda: within(LONGEST_SECONDS, read), "read")
        return whole

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place whole or not at all, over one that is there; raises StoreError."""
        files, path = self._connect(), self._at(name)
        seconds = MOST_SECONDS + SECONDS_A_MB * len(data) / 1e6
        put = self._put_object if self._protocol in ONE_PUT else self._put_renamed
        self._told(lambda: within(seconds, lambda: put(files, path, data)), "written")

    @staticmethod
    def _put_object(files: Any, path: str, data: bytes) -> None:
        files.pipe_file(path, data)

    @staticmethod
    def _put_renamed(files: Any, path: str, data: bytes) -> None:
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/.{last[:16]}.{os.getpid()}.{secrets.token_hex(8)}.tmp"
        files.makedirs(folder, exist_ok=True)
        try:
            files.pipe_file(temporary, data)
            try:
                files.mv(temporary, path)
            except OSError:  # some refuse to rename over a file; between the two calls a reader finds none
                with suppress(FileNotFoundError):
                    files.rm_file(path)
                try:
                    files.mv(temporary, path)
                except OSError:
                    if not files.exists(path):  # else another writer of the same content was faster
                        raise
        finally:
            with suppress(Exception):  # after a rename there is none
                files.rm_file(temporary)

    def exists(self, name: str) -> bool:
        """Say whether a file is there; raises StoreError."""
        files = self._connect()
        return bool(self._told(lambda: within(MOST_SECONDS, lambda: files.exists(self._at(name))), "read"))

    def files(self, folder: str = "") -> Iterator[RemoteFile]:
        """Walk all files below a folder of the address, in no particular order; raises StoreError."""
        files, root = self._connect(), self._at(folder)

        def walk() -> Mapping[str, Mapping[str, Any]]:
            found: Mapping[str, Mapping[str, Any]] = files.find(root, detail=True)
            return found

        found = self._told(lambda: within(LONGEST_SECONDS, walk), "listed", absent={})
        start = len(self._root.rstrip("/")) + 1
        for path, about in found.items():
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
            raise StoreError(f"{self.address} cannot be {what} ({reason(error)}): {self._fix(error)}") from error

    def _fix(self, error: Exception) -> str:
        from fsspec import available_protocols
        from fsspec.registry import known_implementations

        if not is_address(self.address):
            return "make the folder writable, or name another one"
        if isinstance(error, FileNotFoundError):
            return "there is no such bucket, container or host: make it, or name another one"
        if "arameter validation" in str(error):
            return "a bucket cannot have that name: see how it is spelled"
        known: str = known_implementations.get(self._protocol, {}).get("class", "")
        if isinstance(error, ImportError):
            package = known.partition(".")[0]
            named = f"the package {package}" if package not in ("", "fsspec") else "a package that is not here"
            return f"{self._protocol}:// needs {named}; install it into this environment"
        if "libjvm" in str(error) or "libhdfs" in str(error):
            return f"{self._protocol}:// needs Hadoop's client: set JAVA_HOME, HADOOP_HOME and CLASSPATH"
        if isinstance(error, ValueError) and not known and self._protocol not in available_protocols():
            return f"fsspec knows no {self._protocol}://; {near_matches(self._protocol, USUAL)}"
        if isinstance(error, NotImplementedError):
            return f"{self._protocol}:// can only be read; name an object store or a shared file system"
        if isinstance(error, PermissionError) or "redential" in type(error).__name__ + str(error):
            return "log in as the provider's own tools do, and see that you may list, read and write there"
        return "see that the host answers from here (a proxy, AWS_ENDPOINT_URL and its like), then run again"


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
