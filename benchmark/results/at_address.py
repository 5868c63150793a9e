"""Results at an address (``s3://bucket/results``): finished runs are put there, and read from there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark.core.addresses import cache_folder
from benchmark.core.atomic import replacing
from benchmark.core.errors import ResultsError, StoreError
from benchmark.fetching.remote import Remote, RemoteFile
from benchmark.results.files import RESULT, ensure_writable

FOLDERS = ("reference", "runs", "sweeps", "papers")
"""What reports and comparisons read below a results folder."""
AT_ONCE = 64


def check_copy(place: str | Path) -> None:
    """Raise StoreError or ResultsError where no run can be put at ``run.results_copy``, before any is computed."""
    if isinstance(place, Path):
        ensure_writable(place, setting="run.results_copy")
        return
    try:
        Remote(place).try_writing()
    except StoreError as error:
        raise StoreError(f"run.results_copy={place}: {error}") from error


def put_run(folder: Path, address: str) -> None:
    """Put all files of a finished run at ``<address>/runs/<id>``, its result last: a reader finds a whole run or none.

    Raises:
        StoreError: the address cannot be written.
    """
    try:
        _put(folder, Remote(address))
    except StoreError as error:
        raise StoreError(
            f"run.results_copy={address}: {error}; the run is whole in {folder}, and the same command copies it then"
        ) from error


def _put(folder: Path, remote: Remote) -> None:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_kept(path.relative_to(folder).parts)]
    for path in sorted(paths, key=lambda path: path == folder / RESULT):
        remote.write(f"runs/{folder.name}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def _is_kept(parts: Sequence[str]) -> bool:
    """Leave out hidden and temporary files, and the marks by which shards of one results folder find each other."""
    return parts[0] != "shards" and not any(part.startswith(".") for part in parts)


def copied(address: str) -> Path:
    """Return a results folder in the cache with what lies at an address now; only what changed is read.

    Raises:
        StoreError: the address cannot be read.
        ResultsError: nothing lies there.
    """
    remote = Remote(address)
    folder = _copies() / hashlib.sha256(address.encode()).hexdigest()[:16]
    there = {file.name: file for name in FOLDERS for file in remote.files(name) if _is_safe(file.name)}
    if not there:
        raise ResultsError(f"no runs lie at {address}; run.results_copy={address} puts finished runs there")
    for name in FOLDERS:
        for path in (folder / name).rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in there:
                path.unlink()
    changed = [file for file in there.values() if not _is_same(folder / file.name, file)]
    for start in range(0, len(changed), AT_ONCE):
        some = {file.name: file for file in changed[start : start + AT_ONCE]}
        for name, data in remote.read_all(some).items():
            with replacing(folder / name) as written:
                written.write(data)
            os.utime(folder / name, (some[name].changed, some[name].changed))
    return folder


def is_copy(folder: Path) -> bool:
    """Say whether a results folder is what ``copied`` made, where nothing else lasts."""
    return folder.absolute().parent == _copies()


def _copies() -> Path:
    return cache_folder() / "results"


def _is_same(path: Path, file: RemoteFile) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size == file.size and abs(status.st_mtime - file.changed) < 1e-3


def _is_safe(name: str) -> bool:
    """Whether a name stays below the folder that it is written into; an object may have any name."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and bool(path.name)
