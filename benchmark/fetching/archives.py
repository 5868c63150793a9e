"""Unpacking archives that are not trusted: nothing outside the target, no links, no bombs, nothing by halves."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from benchmark.core.errors import DownloadError
from benchmark.core.text import counted
from benchmark.fetching.download import free_space_problem

MAX_RATIO = 100
"""Most bytes that may come out for each byte of the archive; images hardly shrink, so honest archives are near 1."""
MIN_LIMIT = 100 << 20
"""Archives may always unpack to this many bytes (small ones of empty masks shrink a lot)."""
MAX_FILES = 2_000_000

_CHUNK = 1 << 20
_MOST_HEADER = 1 << 20
"""Largest header (names, pax records) of a tar archive, bytes."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: PurePosixPath
    size: int
    folder: bool
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, target: Path, *, on_progress: Callable[[int, int | None], None] | None = None) -> list[str]:
    """Unpack a zip or tar archive (plain, gz, bz2, xz) into ``target`` and return the names of its first level.

    Everything is written to a hidden folder beside its destination first, and moved into place entry by entry when it
    is whole; a run that was killed in between goes on with the moving.

    Args:
        archive: the file; its checksum should have been verified before.
        target: folder for the archive's entries; none of them may exist there.
        on_progress: told the bytes written so far and the sum of all.

    Raises:
        DownloadError: the archive is damaged or holds a path outside the target, a link, a device, too many files or
            far more bytes than it has itself; an entry exists already; or the disk is full. Nothing of it is left.
    """
    whole, work = target / f".{archive.name}.unpacked", target / f".{archive.name}.unpacking"
    shutil.rmtree(work, ignore_errors=True)
    if not whole.is_dir():
        try:
            work.mkdir(parents=True)
            with _members(archive) as (members, total):
                _write(archive, members, total, work, on_progress)
            work.replace(whole)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
            raise DownloadError(f"{archive}: damaged archive ({error}); remove it and fetch it again") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError(f"{target}: the disk is full; free some space and run again") from error
            raise DownloadError(f"{archive}: cannot be unpacked to {target} ({error})") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return _move(whole, target)


def _move(whole: Path, target: Path) -> list[str]:
    entries = sorted(whole.iterdir())
    for entry in entries:
        place = target / entry.name
        if place.exists():
            raise DownloadError(f"{place}: exists already; move it away, then run again to put the unpacked one there")
    for entry in entries:
        entry.replace(target / entry.name)
    whole.rmdir()
    return [entry.name for entry in entries]


@contextmanager
def _members(archive: Path) -> Iterator[tuple[Iterable[_Member], int | None]]:
    """Open an archive: its members, checked one by one, and the sum of their sizes where the archive has an index.

    A tar archive has none: listing it first would decompress all of it twice.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            listed = opened.infolist()
            yield (_zip_member(archive, opened, info) for info in listed), sum(info.file_size for info in listed)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive, tarinfo=_Header) as tar:
            yield (_tar_member(archive, tar, info) for info in tar), None
            _read_to_the_end(archive, tar)
    else:
        raise DownloadError(f"{archive}: neither a zip nor a tar archive; remove it and fetch it again")


class _Header(tarfile.TarInfo):
    """A header of a tar archive that is damaged, cut off or huge is an error, not the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header; raises ReadError."""
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the block of zeros at the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it breaks off or a header is damaged: {error}") from None
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) and found.size > _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {found.size:,} bytes")
        return found


def _read_to_the_end(archive: Path, tar: tarfile.TarFile) -> None:
    """Read what follows the last member: a compressed stream checks its sum at its end alone."""
    assert tar.fileobj is not None
    left = max(MIN_LIMIT, MAX_RATIO * archive.stat().st_size)
    while chunk := tar.fileobj.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise tarfile.ReadError("more behind its end than in it")


def _zip_member(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DownloadError(f"{archive}: {info.filename!r} is a link or a device; refused")
    if info.flag_bits & 1:
        raise DownloadError(f"{archive}: {info.filename!r} is encrypted; refused")
    name = _safe(archive, info.filename)
    return _Member(name, info.file_size, info.filename.endswith("/"), lambda: opened.open(info))


def _tar_member(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    if not (info.isreg() or info.isdir()):
        raise DownloadError(f"{archive}: {info.name!r} is a link or a device; refused")

    def reader() -> IO[bytes]:
        file = tar.extractfile(info)
        assert file is not None, info.name
        return file

    return _Member(_safe(archive, info.name), info.size, info.isdir(), reader)


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if path.is_absolute() or ".." in parts or "\\" in name or "\0" in name or (parts and ":" in parts[0]):
        raise DownloadError(f"{archive}: {name!r} leads out of the target folder; refused")
    return PurePosixPath(*parts)


def _write(
    archive: Path,
    members: Iterable[_Member],
    total: int | None,
    work: Path,
    on_progress: Callable[[int, int | None], None] | None,
) -> None:
    """Write all members below ``work``; whatever is refused here, ``work`` never gets another name."""
    problem = free_space_problem(work, total or 0)
    if problem:
        raise DownloadError(problem)
    limit = max(MIN_LIMIT, MAX_RATIO * archive.stat().st_size)
    listed = done = 0
    for number, member in enumerate(members, start=1):
        listed += member.size
        if listed > limit or number > MAX_FILES:
            raise DownloadError(
                f"{archive}: {archive.stat().st_size / 1e6:.1f} MB would become more than {listed / 1e6:.0f} MB "
                f"in {counted(number, 'file')}, which no archive of images does; refused"
            )
        place = work.joinpath(member.name)
        if member.folder:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        done += _copy(archive, member, place)
        if on_progress is not None:
            on_progress(done, total)


def _copy(archive: Path, member: _Member, place: Path) -> int:
    """Write one member and return its size, which may not be more than the archive says."""
    written = 0
    # "x": a name that comes twice would let a second file take the place of the first.
    with member.open() as source, place.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > member.size:
                raise DownloadError(f"{archive}: {member.name} is larger than the archive says; refused")
            sink.write(chunk)
    if written < member.size:
        raise DownloadError(f"{archive}: {member.name} breaks off; remove the archive and fetch it again")
    return written
