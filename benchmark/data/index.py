"""What is known of each file of a dataset (content hash, size, mask level), kept between runs.

A file is read again only when its size, modification time or inode changed. One JSON file per dataset root lies in the
cache folder (``BENCH_CACHE``, else ``.cache`` below the working directory), never in the dataset's tree. It is
replaced as a whole, so that a killed run or two runs at once leave a whole one behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.core.addresses import cache_folder
from benchmark.core.atomic import replacing
from benchmark.core.errors import DataError
from benchmark.core.lazy import batched
from benchmark.core.progress import Progress
from benchmark.core.samples import MaskFormat
from benchmark.data.images import opened, orientation, sixteen_bit_peak
from benchmark.data.masks import is_lossy, levels_of

logger = logging.getLogger(__name__)

FileRole = Literal["image"] | MaskFormat

_FORMAT = 5
"""Raised when the meaning of a stored row changes: older index files are then dropped."""
_RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one tick of a coarse clock (2 s on FAT,
1 s on some network mounts) without a new modification time, so its row is not trusted."""
_SAVE_EVERY_SECONDS = 30.0
_BATCH = 256
_AT_ONCE = 8
"""Files that a thread reads before it hands them over."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file."""

    sha256: str
    width: int
    height: int
    peak: int | None
    """Largest level of a mask (0: nothing marked), largest value of a 16-bit greyscale image; None for other images."""
    lossy: bool = False
    """Whether a mask's levels are blurred by its compression (JPEG)."""
    orientation: int = 1
    """By EXIF, 1..8; width and height are those of the stored grid."""
    levels: tuple[int, ...] = ()
    """Every number that stands in a mask of class ids, rising."""
    problem: str | None = None
    """Why the file cannot be used, where that was to be told (``keep_unreadable``); sizes are 0 then."""


def file_facts(
    root: Path,
    files: Mapping[str, FileRole],
    *,
    cache: Path | None = None,
    workers: int | None = None,
    keep_unreadable: bool = False,
) -> dict[str, FileFacts]:
    """Return the facts of every file, reading only those that are new or changed.

    Args:
        root: dataset folder.
        files: path relative to ``root`` -> what the file is read as.
        cache: cache folder; None takes ``cache_folder()``.
        workers: reading threads; None takes the number of cores, at most 8.
        keep_unreadable: a file that cannot be read has facts with its problem, instead of an error.

    Raises:
        DataError: a file is missing, not an image, or (masks) truncated or damaged.
    """
    store = _index_path(root, cache_folder() if cache is None else cache)
    rows = _load(store)
    facts: dict[str, FileFacts] = {}
    stale: list[str] = []
    base = f"{root}{os.sep}"
    for name, role in files.items():
        row = rows.get(name)
        if row is not None and row[:4] == _signature_or_none(base + name, role):
            facts[name] = _facts(row)
        else:
            stale.append(name)
    if stale:
        _read_stale(root, stale, files, rows, facts, store, workers, keep_unreadable)
    return facts


def _read_stale(
    root: Path,
    stale: Sequence[str],
    files: Mapping[str, FileRole],
    rows: dict[str, list[Any]],
    facts: dict[str, FileFacts],
    store: Path,
    workers: int | None,
    keep_unreadable: bool,
) -> None:
    """Read the files of ``stale`` into ``facts`` and ``rows``, and save the rows even when interrupted."""
    saved = time.monotonic()
    threads = workers or min(8, os.cpu_count() or 1)

    def read(name: str) -> list[Any] | FileFacts:
        try:
            return _read(root, name, files[name])
        except DataError as error:
            if not keep_unreadable:
                raise
            return _unreadable(root / name, str(error))

    try:
        with Progress(f"Indexing {root.name}", len(stale)) as progress, ThreadPoolExecutor(threads) as pool:
            for batch in batched(stale, _BATCH):
                read_some = pool.map(lambda names: list(map(read, names)), batched(batch, _AT_ONCE))
                for name, row in zip(batch, chain.from_iterable(read_some), strict=True):
                    if isinstance(row, FileFacts):  # looked at anew by every run, as it may be fixed
                        facts[name] = row
                        continue
                    facts[name] = _facts(row)
                    rows[name] = row
                progress.advance(len(batch))
                if time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                    _save(store, rows)
                    saved = time.monotonic()
    finally:
        _save(store, rows)


def _read(root: Path, name: str, role: FileRole) -> list[Any]:
    """Read one file: [role, size, mtime_ns, inode, read at (ns), and the fields of its facts but the problem]."""
    path = root / name
    now = time.time_ns()
    signature = _signature(path, role)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); fix or remove it") from error
    with opened(path, data) as image:
        width, height = image.size
        turned = orientation(image)
        if role == "image":
            peak = sixteen_bit_peak(image)
            return [*signature, now, hashlib.sha256(data).hexdigest(), width, height, peak, False, turned, []]
        levels = levels_of(path, image, mask_format=role)
        lossy = role == "grey" and is_lossy(image, levels)
    peak = int(levels.max(initial=0))
    numbers = np.flatnonzero(np.bincount(levels.ravel(), minlength=1)).tolist() if role == "class_ids" else []
    return [*signature, now, hashlib.sha256(data).hexdigest(), width, height, peak, lossy, turned, numbers]


def _facts(row: Sequence[Any]) -> FileFacts:
    return FileFacts(*[*row[5:11], tuple(row[11])])


def _unreadable(path: Path, problem: str) -> FileFacts:
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:  # no permission, a bad sector, gone meanwhile
        content = b""
    return FileFacts(hashlib.sha256(content).hexdigest(), 0, 0, None, problem=problem)


def _signature(path: Path, role: FileRole) -> list[Any]:
    try:
        found = path.stat()
    except OSError as error:
        if path.is_symlink():
            raise DataError(f"{path}: a link to {path.readlink()}, which is not there; fix or remove it") from error
        raise DataError(f"{path}: cannot be read ({error.strerror}); was it removed while indexing?") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise DataError(f"{path}: named like an image, but it is {kind}; rename or remove it")
    return [role, found.st_size, found.st_mtime_ns, found.st_ino]


def _signature_or_none(path: str, role: FileRole) -> list[Any] | None:
    """Return the signature of a file that is there; None where ``_signature`` has to say what is wrong."""
    try:
        found = os.stat(path)  # noqa: PTH116  # Path objects cost more than the call itself, 20,000 times
    except OSError:
        return None
    return [role, found.st_size, found.st_mtime_ns, found.st_ino]


def _index_path(root: Path, cache: Path) -> Path:
    resolved = root.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:16]
    return cache / "index" / f"{resolved.name}-{digest}.json"


def _load(store: Path) -> dict[str, list[Any]]:
    """Read the kept rows; a missing, damaged or older index is an empty one."""
    try:
        kept = json.loads(store.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s: the index cannot be read (%s) and is built again", store, error)
        return {}
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT or not isinstance(kept.get("rows"), dict):
        return {}
    if kept.get("sha256") != _checksum(kept["rows"]):
        logger.warning("%s: the index is damaged and is built again", store)
        return {}
    return {name: row for name, row in kept["rows"].items() if len(row) == 12 and row[2] < row[4] - _RACY_NS}


def _checksum(rows: Mapping[str, list[Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def _save(store: Path, rows: Mapping[str, list[Any]]) -> None:
    """Replace the index atomically; an unwritable cache costs time in the next run, so it is only told."""
    try:
        with replacing(store) as file:
            kept = {"format": _FORMAT, "sha256": _checksum(rows), "rows": rows}
            file.write(json.dumps(kept, separators=(",", ":")).encode())
    except OSError as error:
        logger.warning("%s: the index cannot be kept (%s), so the next run reads all files again", store, error)
