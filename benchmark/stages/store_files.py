"""Files of a store: their names, and how they are written into a folder, under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from benchmark.core.errors import StoreError

SUFFIX = ".safetensors.zst"
TEMPORARY = ".tmp"
LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.\d+\.[0-9a-f]{16}\.tmp")
"""Names that a killed writer leaves behind."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored file."""

    path: PurePath
    """As the file system names it."""
    stage: str
    size: int
    """Bytes."""
    used: float
    """Last written or read (Unix time, to the minute); at an address last written."""

    @property
    def key(self) -> str:
        """The key it is stored under."""
        return self.path.name.removesuffix(SUFFIX)


def write_file(path: Path, data: bytes, *, root: Path) -> None:
    """Write a file whole or not at all; one that is there is replaced, and nothing is synced to the disk.

    Args:
        path: the file.
        data: its bytes.
        root: the store's folder, which an error names.

    Raises:
        StoreError: a full disk, or a folder that cannot be written.
    """
    temporary = path.with_name(f".{path.name[:16]}.{os.getpid()}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        file = _create(temporary)
        try:
            with file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = (
            "free some space or run `make cache ARGS='prune --max-size 10G'`; what is stored is kept"
            if full
            else f"make {root} writable, or choose another one with run.cache_root=… (run.cache_local=… where "
            "that is an address)"
        )
        raise StoreError(f"store entry {path} cannot be written ({error.strerror}): {fix}") from error


def _create(path: Path) -> BinaryIO:
    """Open a new file, making its folder; a folder that a tidying process removes meanwhile is made again."""
    for _ in range(3):
        try:
            return path.open("xb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")
