"""SQLite databases that are made whole or not at all, and damaged ones that are told before they are used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

BESIDE = ("", "-journal", "-wal", "-shm")
"""Endings of the files that make one database; none may be left behind when it moves."""


def address_of(path: Path) -> str:
    """Return the SQLAlchemy address of a database file of any name."""
    name = str(path.resolve())
    quoted = name.replace("%", "%25").replace("?", "%3F")  # what means something in an address
    # With the driver's name MLflow makes no folder of the quoted name.
    return f"sqlite:///{name}" if quoted == name else f"sqlite+pysqlite:///{quoted}"


def file_of(address: str) -> Path | None:
    """Return the file that an address names; None where it is another database, one in memory, or no address."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    return Path(url.database)


def make_whole(path: Path, make: Callable[[str], None]) -> None:
    """Let ``make(address)`` fill a new database, which gets its name when it is complete; a lock is the caller's.

    Whatever ends the process on the way (a kill, Ctrl-C, a full disk) leaves nothing under ``path``.
    """
    new = path.with_name(f".{path.name}.new")
    _remove(new)
    try:
        make(address_of(new))
        with contextlib.closing(sqlite3.connect(new)) as database:  # one file: nothing of it waits in another
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        _remove(new)


def damage(path: Path, *, filled: tuple[str, ...], every_page: bool = False) -> str | None:
    """Say in what a database is damaged or half made; None where it can be used.

    Args:
        path: its file.
        filled: queries that find at least one row in each complete database.
        every_page: read the whole file, else only what is needed to open it.
    """
    if not path.is_file():
        return "it is not a file"
    if path.stat().st_size == 0:
        return "it is empty"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            for query in filled:
                if database.execute(query).fetchone() is None:
                    return f"it was not finished: nothing for {query}"
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0] if every_page else "ok"
    except sqlite3.DatabaseError as error:
        # Locked, read-only and a full disk say nothing about the file; a missing table means that it was half made.
        usable = isinstance(error, sqlite3.OperationalError) and "no such" not in str(error)
        return None if usable else str(error)
    return None if found == "ok" else str(found)


def set_aside(path: Path) -> Path:
    """Give a damaged database another name beside its own, and return it; nothing is deleted."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    number, aside = 0, path.with_name(f"{path.name}.damaged-{stamp}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for ending in reversed(BESIDE):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


def _remove(path: Path) -> None:
    for ending in BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)
