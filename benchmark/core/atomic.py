"""Files that are written whole or not at all, and what a killed writer leaves behind."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".part"


def open_temporary(path: Path) -> BinaryIO:
    """Open a hidden new file beside ``path``, and make the folder.

    It is locked while it is open. The lock falls with the process, however that ends, so that
    ``remove_leftovers`` can tell what was left from what is being written. Raises OSError.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}").open("xb")
        with contextlib.suppress(OSError):  # a file system without locks: its files are never taken for leftovers
            fcntl.flock(file, fcntl.LOCK_EX)
        if Path(file.name).exists():  # else it was taken for a leftover before it was locked
            return file
        file.close()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends well, else leaves nothing; raises OSError."""
    with open_temporary(path) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files at any depth of ``folder`` that no living process writes."""
    import fcntl

    for path in folder.rglob(f".*{TEMPORARY}"):
        with contextlib.suppress(OSError), path.open("r+b") as file:  # locked, not ours to write, or gone meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
