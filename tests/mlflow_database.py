"""MLflow databases of tests are copies of one that MLflow made: its migrations take seconds each time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from benchmark.core import sqlite_files
from benchmark.core.sqlite_files import file_of

TEMPLATE = "TEST_MLFLOW_DATABASE"
"""Environment variable that says where the one database is kept."""


def copied(path: Path, make: Callable[[str], None]) -> None:
    """Take the place of ``make_whole`` in ``benchmark.tracking``."""
    template = Path(os.environ[TEMPLATE])
    with FileLock(f"{template}.lock"):
        if not template.exists():
            sqlite_files.make_whole(template, make)

    def copy(address: str) -> None:
        shutil.copy(template, str(file_of(address)))

    sqlite_files.make_whole(path, copy)
