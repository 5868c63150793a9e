"""Large arrays in unnamed temporary files: read and written as any array, without holding memory for good.

The system keeps their pages while there is room; ``let_go`` takes them off this process after a pass over them, so
that its memory stays flat whatever their number. The files vanish with the arrays, or with the process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from benchmark.core.errors import ResultsError

HELD_BYTES = 8 << 20
"""Arrays up to this size stay in memory."""


def zeros(shape: tuple[int, ...], dtype: DTypeLike, *, held: int | None = None) -> NDArray[Any]:
    """Return an array of zeros, in memory where it takes at most ``held`` bytes (None: ``HELD_BYTES``), else in a file.

    Raises:
        ResultsError: the folder of temporary files has no room for it.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if size <= (HELD_BYTES if held is None else held):
        return np.zeros(shape, dtype=kind)
    try:
        with tempfile.TemporaryFile(prefix="benchmark-") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here, and a crash at a mapped page
            pages = mmap.mmap(file.fileno(), size)  # holds the file open by itself
    except OSError as error:
        raise ResultsError(
            f"{tempfile.gettempdir()}: no room for {size / 1e6:.0f} MB of temporary files ({error.strerror}); free "
            "space, or set the variable TMPDIR to another folder"
        ) from None
    return np.frombuffer(pages, dtype=kind).reshape(shape)


def let_go(*arrays: NDArray[Any]) -> None:
    """Take the pages of arrays that lie in files off this process; their contents stay, and others are not touched."""
    found = {id(pages): pages for array in arrays if (pages := _pages(array)) is not None}
    for pages in found.values():
        pages.madvise(mmap.MADV_DONTNEED)


def is_mapped(array: NDArray[Any]) -> bool:
    """Say whether an array lies in a file."""
    return _pages(array) is not None


def _pages(array: Any) -> mmap.mmap | None:
    """Return the mapping that an array is a view of; None where it lies in memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return array if isinstance(array, mmap.mmap) else None
