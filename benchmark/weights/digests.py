"""Digests of large files, computed once and remembered for as long as the file stays the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from benchmark.core.addresses import cache_folder
from benchmark.core.atomic import replacing

CHUNK = 1 << 22


def file_digests(path: Path) -> tuple[str, str]:
    """Return the SHA-256 and MD5 of a file (hex).

    They are remembered under BENCH_CACHE (default ``.cache``), and computed again when the
    file's size, modification time (ns), change time (ns) or inode differ. A cache that cannot
    be written costs only the time to compute them again.
    """
    stat = path.stat()
    state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    note = _note_of(path)
    known = _remembered(note, state)
    if known is not None:
        return known
    # MD5 only tells published files apart, it protects nothing.
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    digests = (sha256.hexdigest(), md5.hexdigest())
    with contextlib.suppress(OSError), replacing(note) as kept:
        kept.write(json.dumps({"state": state, "sha256": digests[0], "md5": digests[1]}).encode())
    return digests


def folder_digest(path: Path) -> str:
    """Return a SHA-256 (hex) of the names and contents of all files below a folder, hidden ones aside.

    It is remembered as ``file_digests`` are, and computed again when a file came, went or changed its size or time.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    names = [p.relative_to(path).as_posix() for p in files]
    stats = [p.stat() for p in files]
    listed = [[n, s.st_size, s.st_mtime_ns, s.st_ino] for n, s in zip(names, stats, strict=True)]
    state = [int(hashlib.sha256(json.dumps(listed).encode(errors="surrogateescape")).hexdigest(), 16)]
    note = _note_of(path)
    known = _remembered(note, state)
    if known is not None:
        return known[0]
    whole = hashlib.sha256()
    for name, file in zip(names, files, strict=True):
        with file.open("rb") as handle:
            whole.update(
                f"{name}\0{hashlib.file_digest(handle, 'sha256').hexdigest()}\n".encode(errors="surrogateescape")
            )
    digest = whole.hexdigest()
    with contextlib.suppress(OSError), replacing(note) as kept:
        kept.write(json.dumps({"state": state, "sha256": digest, "md5": ""}).encode())
    return digest


def _note_of(path: Path) -> Path:
    folder = cache_folder() / "digests"
    return folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def _remembered(note: Path, state: list[int]) -> tuple[str, str] | None:
    try:
        read = json.loads(note.read_text(encoding="utf-8"))
        if read["state"] == state:
            return str(read["sha256"]), str(read["md5"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # absent or damaged: it is computed and written again
    return None
