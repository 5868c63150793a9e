"""Fetching one file: resumed after interruption, checked before it gets its name.

Pooch does the transport. It has no resume of its own, so a ``Range`` header and a response hook are handed to it, and
it writes into a file that is open for appending. What has arrived waits as ``<name>.part``; a file whose checksum is
wrong is kept aside as ``<name>.rejected`` and never used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from benchmark.core.deadline import within
from benchmark.core.errors import DownloadError

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the size of the whole file, None where the server does not say."""

_CHUNK = 1 << 14
"""Bytes written at a time, the most that a broken connection loses."""
_STALLED_SECONDS = 90.0
"""A server that sends no such piece for so long is given up, be it that a byte comes now and then."""
_LONGEST_WAIT_SECONDS = 120.0
"""A server that asks for more is not waited for."""
_TIMEOUT_SECONDS = (15, 60)
"""To connect, and between two pieces of data."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file to fetch, and what is known of it."""

    urls: tuple[str, ...]
    """The address, then its mirrors in order."""
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    """Used where no sha256 is known: it tells a damaged file, not a forged one."""


class _Refused(Exception):
    """One address did not give the file; the next one is tried."""

    def __init__(self, message: str, *, again: bool = True, after: float = 0.0) -> None:
        super().__init__(message)
        self.again = again
        """Whether the same address may give it at the next try."""
        self.after = after
        """Seconds that the server asks to wait."""


def download(
    remote: Remote,
    target: Path,
    *,
    offline: bool = False,
    on_progress: OnProgress | None = None,
    attempts: int = 4,
    pause: float = 1.0,
) -> Path:
    """Fetch a file unless it is there already, and return ``target``.

    Args:
        remote: where from, and the checksum to insist on.
        target: where to; its folder is made.
        offline: never ask the network; a file that is there is still checked.
        on_progress: told how far it is, after every piece.
        attempts: tries for each address, each going on where the last one broke off.
        pause: seconds before the second try, doubled each time.

    Raises:
        DownloadError: no address gave the file, its size or checksum is wrong, the disk is full, another process is
            fetching it, or it is needed and ``offline`` is set.
    """
    if target.exists():
        problem = mismatch(target, remote)
        if problem is None:
            return target
        kept = _put_aside(target)
        if offline:
            raise DownloadError(f"{target}: {problem}; kept as {kept.name}. Run again with network to fetch it anew")
    if offline:
        raise DownloadError(f"{target}: not there, and offline; fetch {remote.urls[0]} elsewhere and put it there")
    reasons: list[str] = []
    with _exclusive(target):
        for url in remote.urls:
            try:
                _fetch(url, remote, target, on_progress=on_progress, attempts=attempts, pause=pause)
            except _Refused as refusal:
                reasons.append(f"{url}: {refusal}")
            else:
                return target
    raise DownloadError(f"{target.name} could not be fetched. " + "; ".join(reasons))


def mismatch(path: Path, remote: Remote) -> str | None:
    """Say how a file differs from what is known of it, or None when size and checksum are right."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{size} bytes instead of {remote.size}"
    for name, wanted in (("sha256", remote.sha256), ("md5", remote.md5)):
        if wanted is None:
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, name).hexdigest()
        return None if found == wanted else f"its {name} is {found} instead of {wanted}"
    return None


def free_space_problem(folder: Path, needed: int) -> str | None:
    """Say so when the disk that holds ``folder`` has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return None
    return f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; free some space"


def _fetch(
    url: str, remote: Remote, target: Path, *, on_progress: OnProgress | None, attempts: int, pause: float
) -> None:
    """Bring one address's file to ``target``, resuming as often as allowed; raises _Refused or DownloadError."""
    part = target.with_name(f"{target.name}.part")
    if remote.size is not None:
        there = part.stat().st_size if part.exists() else 0
        problem = free_space_problem(target.parent, remote.size - there)
        if problem:
            raise DownloadError(problem)
    for attempt in range(1, attempts + 1):
        try:
            _transfer(url, part, on_progress, checked=bool(remote.sha256 or remote.md5), most=remote.size)
            break
        except _Refused as refusal:
            if attempt == attempts or not refusal.again or refusal.after > _LONGEST_WAIT_SECONDS:
                raise
            time.sleep(max(pause * 2 ** (attempt - 1), refusal.after))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError(f"{part}: cannot be written ({error.strerror})") from error
            raise DownloadError(
                f"{part}: the disk is full; free some space and run again, what has arrived is kept"
            ) from error
    problem = mismatch(part, remote)
    _validator_path(part).unlink(missing_ok=True)
    if problem:
        kept = target.with_name(f"{target.name}.rejected")
        part.replace(kept)
        raise _Refused(f"{problem}; not used, kept as {kept}")
    part.replace(target)


def _transfer(url: str, part: Path, on_progress: OnProgress | None, *, checked: bool, most: int | None) -> None:
    """Append to ``part`` what is missing of it.

    Args:
        url: where from.
        part: what has arrived so far.
        on_progress: told how far it is.
        checked: whether a checksum will be looked at afterwards.
        most: size of the whole file, where it is known.
    """
    import requests
    from pooch.downloaders import HTTPDownloader

    headers = _range_headers(url, part, checked=checked)
    # The body is stored as it is sent: a compressed transfer would make byte offsets mean something else.
    headers["Accept-Encoding"] = "identity"
    with part.open("ab") as file:
        sink = _Sink(file, on_progress, most)
        fetch = HTTPDownloader(
            chunk_size=_CHUNK,
            headers=headers,
            timeout=_TIMEOUT_SECONDS,
            hooks={"response": sink.on_response(url, part)},
        )
        try:
            within(_STALLED_SECONDS, lambda: fetch(url, sink, None), progress=lambda: sink.written)
        except TimeoutError as error:
            raise _Refused(f"the server sends next to nothing for {_STALLED_SECONDS:g} s") from error
        except _TooLong:
            return  # refused for its size
        except requests.HTTPError as error:
            code = error.response.status_code
            if code == requests.codes.requested_range_not_satisfiable:
                file.truncate(0)
            again = code >= 500 or code in (408, 416, 429)
            after = _seconds(error.response.headers.get("Retry-After"))
            raise _Refused(f"the server answers {code} {error.response.reason}", again=again, after=after) from error
        except requests.RequestException as error:
            raise _Refused(f"{type(error).__name__}: the connection failed or broke off") from error
        if sink.total is not None and file.tell() < sink.total:
            raise _Refused(f"broke off at {file.tell()} of {sink.total} bytes")


class _TooLong(Exception):
    """More comes than the whole file has: an endless body, or a small one that swells up."""


class _Sink:
    """The file that Pooch writes to: it counts, and starts over when the server does not resume."""

    def __init__(self, file: BinaryIO, on_progress: OnProgress | None, most: int | None) -> None:
        self.file, self.on_progress, self.most = file, on_progress, most
        self.total: int | None = None
        self.written = 0
        """Bytes of this transfer."""

    def write(self, chunk: bytes) -> None:
        if self.most is not None and self.file.tell() + len(chunk) > self.most:
            self.file.write(chunk[: self.most + 1 - self.file.tell()])
            raise _TooLong
        self.file.write(chunk)
        self.written += len(chunk)
        if self.on_progress is not None:
            self.on_progress(self.file.tell(), self.total)

    def flush(self) -> None:
        self.file.flush()

    def on_response(self, url: str, part: Path) -> Callable[..., None]:
        def look(response: Any, **_: object) -> None:
            if response.status_code not in (200, 206):
                if response.ok and not response.is_redirect:
                    raise _Refused(f"the server answers {response.status_code} and sends no file", again=False)
                return
            if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
                raise _Refused("the server sends the file in another encoding than it was asked for", again=False)
            if response.status_code == 200:
                # The whole file is coming, whatever was asked for: what is there would be doubled.
                self.file.seek(0)
                self.file.truncate(0)
            start = response.headers.get("Content-Range", "bytes 0-").removeprefix("bytes ").partition("-")[0]
            if response.status_code == 206 and start != str(self.file.seek(0, os.SEEK_END)):
                raise _Refused("the server sends another part of the file than was asked for", again=False)
            if response.status_code == 206 and _changed(part, response.headers):
                self.file.truncate(0)
                raise _Refused("the file has changed on the server since its first part came")
            if not response.headers.get("Content-Length", "").isdecimal():
                response.headers.pop("Content-Length", None)  # Pooch would read it as a number
            length = response.headers.get("Content-Length")
            self.total = None if length is None else int(length) + self.file.seek(0, os.SEEK_END)
            _remember_validator(url, part, response.headers)

        return look


def _range_headers(url: str, part: Path, *, checked: bool) -> dict[str, str]:
    """Ask for the rest of ``part`` if it comes from the same address, and the same version as far as can be told."""
    size = part.stat().st_size if part.exists() else 0
    if not size:
        return {}
    try:
        known = json.loads(_validator_path(part).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        known = {}
    known = known if isinstance(known, dict) else {}
    if known.get("url") == _mark(url) and known.get("validator"):
        return {"Range": f"bytes={size}-", "If-Range": known["validator"]}
    if known.get("url") == _mark(url) and checked:
        return {"Range": f"bytes={size}-"}
    part.unlink()
    return {}


def _changed(part: Path, headers: Mapping[str, str]) -> bool:
    """Whether a part comes from another version of the file than what is there, as far as can be told."""
    try:
        known = json.loads(_validator_path(part).read_text(encoding="utf-8")).get("validator")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    told = (headers.get("ETag"), headers.get("Last-Modified"))
    return bool(known) and any(told) and known not in told


def _seconds(asked: str | None) -> float:
    """Return what a Retry-After header asks for; 0 where it is none (a date is taken for none)."""
    return float(asked) if asked is not None and asked.strip().isdecimal() else 0.0


def _remember_validator(url: str, part: Path, headers: Mapping[str, str]) -> None:
    etag = headers.get("ETag", "")
    # A weak ETag promises no equal bytes, so it cannot serve to go on in the middle.
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    _validator_path(part).write_text(json.dumps({"url": _mark(url), "validator": validator}), encoding="utf-8")


def _mark(url: str) -> str:
    """Return what tells an address from others; the address itself may hold a password or a signature."""
    return hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()


def _validator_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _put_aside(target: Path) -> Path:
    return target.replace(target.with_name(f"{target.name}.rejected"))


@contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    """Hold the right to fetch ``target``; it falls with the process, however that ends."""
    import fcntl

    lock = target.with_name(f"{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise DownloadError(f"{target.parent}: cannot be written ({error.strerror}); choose another folder") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder removes the file; whoever opened it before that holds a lock that nobody sees.
            if not lock.exists() or lock.stat().st_ino != os.fstat(handle.fileno()).st_ino:
                raise BlockingIOError
        except BlockingIOError as error:
            raise DownloadError(f"{target}: another process is fetching it; wait for that one") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
