"""Keeps the memory of many sorted score tables bounded: what is too much goes to a temporary file and is mapped."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import replace
from typing import IO

import numpy as np

from benchmark.scoring.metrics.tables import ImageTable

HELD_BYTES = 2 << 30
"""Scores that one evaluation holds in memory before it begins to write them out."""


class ScoreSpool:
    """Holds score tables in memory up to a limit and maps the rest from an unnamed temporary file.

    Mapped scores read as any array; the system drops their pages when memory is short and the file vanishes with
    the process. Only the sorted scores of continuous maps are ever large enough to matter.
    """

    def __init__(self) -> None:
        self._held = 0
        self._file: IO[bytes] | None = None

    def keep(self, table: ImageTable) -> ImageTable:
        """Return the table with its scores in memory, or mapped once the limit is reached."""
        if table.count is not None or self._held + table.score.nbytes <= HELD_BYTES:
            self._held += table.score.nbytes
            return table
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="benchmark-scores-")  # noqa: SIM115
            # maps hold the file open by themselves, so it may be closed before the last table is gone
            weakref.finalize(self, self._file.close)
        offset = self._file.seek(0, 2)
        self._file.write(table.score.tobytes())
        self._file.flush()
        mapped = np.memmap(self._file, dtype=table.score.dtype, mode="r", offset=offset, shape=table.score.shape)
        return replace(table, score=mapped)
