"""What a download says to a server, and what it makes of each answer: redirects, retries, ranges, validators."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.core.errors import DownloadError
from benchmark.fetching import download as module
from benchmark.fetching.download import Remote, download

BODY = b"0123456789" * 10
HALF = len(BODY) // 2


@dataclass
class Answer:
    """One answer of the server."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = BODY
    length: int | None = -1
    """Content-Length; -1: the true one, None: not said."""


@dataclass
class Site:
    """A server: its address, its answers in order, and the headers of what it was asked."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append({k.lower(): v for k, v in self.headers.items()})
            found.paths.append(self.path)
            answer = found.answers.pop(0) if found.answers else Answer()
            self.send_response(answer.status)
            length = len(answer.body) if answer.length == -1 else answer.length
            for name, value in ({} if length is None else {"Content-Length": str(length)}).items():
                self.send_header(name, value)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Site(f"http://127.0.0.1:{http.server_port}/file.bin")
    threading.Thread(target=http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    yield found
    http.shutdown()
    http.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of every pause, which take no time."""
    seconds: list[float] = []
    # its own, as threads of earlier tests may sleep, too
    monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(module.time), "sleep": seconds.append}))
    return seconds


def remote(site: Site, **known: Any) -> Remote:
    return Remote(urls=(site.url,), **known)


def part(url: str, folder: Path, content: bytes, validator: str | None) -> Path:
    """What an interrupted download leaves: the bytes that arrived, and the validator of their version."""
    path = folder / "f.bin.part"
    path.write_bytes(content)
    module._remember_validator(url, path, {} if validator is None else {"ETag": validator})
    return path


def rest(start: int = HALF, **headers: str) -> Answer:
    """The end of the file, as a server that resumes sends it."""
    span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    return Answer(206, {"Content-Range": span, **headers}, BODY[start:])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_resumed_through(code: int, site: Site, tmp_path: Path) -> None:
    elsewhere = site.url.replace("file.bin", "moved.bin")
    site.answers = [Answer(code, {"Location": elsewhere}, b"moved"), Answer(headers={"ETag": '"v1"'})]
    assert download(remote(site), tmp_path / "f.bin").read_bytes() == BODY
    assert site.paths == ["/file.bin", "/moved.bin"]
    part(site.url, tmp_path, BODY[:HALF], '"v1"')
    site.answers = [Answer(code, {"Location": elsewhere}, b"moved"), rest()]
    (tmp_path / "f.bin").unlink()
    assert download(remote(site), tmp_path / "f.bin").read_bytes() == BODY
    assert site.asked[-1]["range"] == f"bytes={HALF}-" and site.asked[-1]["if-range"] == '"v1"'


def test_a_redirect_in_a_circle_ends(site: Site, tmp_path: Path, waits: list[float]) -> None:
    site.answers = [Answer(302, {"Location": site.url}, b"") for _ in range(200)]
    with pytest.raises(DownloadError, match="TooManyRedirects: the connection failed"):
        download(remote(site), tmp_path / "f.bin", attempts=1)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again_after_doubling_pauses(
    code: int, site: Site, tmp_path: Path, waits: list[float]
) -> None:
    site.answers = [Answer(code, body=b"later") for _ in range(9)]
    with pytest.raises(DownloadError, match=rf"{site.url}: the server answers {code} "):
        download(remote(site), tmp_path / "f.bin")
    assert len(site.asked) == 4 and waits == [1.0, 2.0, 4.0]
    site.answers, waits[:] = [Answer(code, body=b"later")] * 2, []
    download(remote(site), tmp_path / "f.bin", attempts=3, pause=0.25)
    assert waits == [0.25, 0.5]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 451])
def test_what_will_not_pass_is_asked_once(code: int, site: Site, tmp_path: Path, waits: list[float]) -> None:
    site.answers = [Answer(code, body=b"no")]
    with pytest.raises(DownloadError, match=f"the server answers {code} "):
        download(remote(site), tmp_path / "f.bin")
    assert len(site.asked) == 1 and waits == []
    assert (tmp_path / "f.bin.part").read_bytes() == b"", "the page of the error is no part of the file"


@pytest.mark.parametrize(("attempts", "asked"), [(1, 1), (2, 2), (5, 5)])
def test_the_last_attempt_is_followed_by_no_pause(
    attempts: int, asked: int, site: Site, tmp_path: Path, waits: list[float]
) -> None:
    site.answers = [Answer(503, body=b"") for _ in range(9)]
    with pytest.raises(DownloadError):
        download(remote(site), tmp_path / "f.bin", attempts=attempts, pause=3.0)
    assert len(site.asked) == asked and waits == [3.0 * 2**k for k in range(asked - 1)]


def test_every_address_has_all_attempts(site: Site, tmp_path: Path, waits: list[float]) -> None:
    site.answers = [Answer(503, body=b"") for _ in range(4)]
    download(Remote(urls=(site.url, site.url + "?mirror")), tmp_path / "f.bin", attempts=3)
    assert site.paths == ["/file.bin"] * 3 + ["/file.bin?mirror"] * 2 and waits == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"ETag": '"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"v1"'),
        ({"ETag": 'W/"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"v1"'}, None),
        ({}, None),
    ],
)
def test_the_strong_validator_is_kept_and_sent(
    headers: dict[str, str],
    kept: str | None,
    site: Site,
    tmp_path: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 10)
    site.answers = [Answer(headers=headers, body=BODY[:HALF], length=len(BODY)), rest() if kept else Answer()]
    assert download(remote(site), tmp_path / "f.bin").read_bytes() == BODY
    first, second = site.asked
    assert "range" not in first and first["accept-encoding"] == "identity"
    assert second.get("if-range") == kept and second.get("range") == (f"bytes={HALF}-" if kept else None)
    assert [p.name for p in tmp_path.iterdir()] == ["f.bin"] and waits == [1.0]


def test_what_another_address_left_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    known = {"sha256": hashlib.sha256(BODY).hexdigest()}
    part("http://elsewhere/file.bin", tmp_path, b"x" * HALF, '"v1"')
    assert download(remote(site, **known), tmp_path / "f.bin").read_bytes() == BODY
    assert "range" not in site.asked[0]


@pytest.mark.parametrize("note", [b"", b"no json", b"{}", b"[]", b"null", b"\xff"])
def test_a_part_whose_origin_is_not_known_is_begun_anew(note: bytes, site: Site, tmp_path: Path) -> None:
    path = part(site.url, tmp_path, b"x" * HALF, '"v1"')
    module._validator_path(path).write_bytes(note)
    assert download(remote(site), tmp_path / "f.bin").read_bytes() == BODY
    assert "range" not in site.asked[0]


def test_another_part_than_was_asked_for_is_refused_at_once(site: Site, tmp_path: Path, waits: list[float]) -> None:
    part(site.url, tmp_path, BODY[:HALF], '"v1"')
    site.answers = [rest(HALF + 10)]
    with pytest.raises(DownloadError, match="sends another part of the file"):
        download(remote(site), tmp_path / "f.bin")
    assert len(site.asked) == 1 and (tmp_path / "f.bin.part").read_bytes() == BODY[:HALF]


def test_a_range_that_cannot_be_had_begins_anew(site: Site, tmp_path: Path, waits: list[float]) -> None:
    part(site.url, tmp_path, BODY + b"too much", '"v1"')
    site.answers = [Answer(416, body=b"")]
    assert download(remote(site), tmp_path / "f.bin").read_bytes() == BODY
    assert [a.get("range") for a in site.asked] == [f"bytes={len(BODY) + 8}-", None] and waits == [1.0]


def test_progress_counts_what_was_there(site: Site, tmp_path: Path) -> None:
    part(site.url, tmp_path, BODY[:HALF], '"v1"')
    site.answers = [rest()]
    seen: list[tuple[int, int | None]] = []
    download(remote(site), tmp_path / "f.bin", on_progress=lambda *at: seen.append(at))
    assert seen == [(len(BODY), len(BODY))]
    seen.clear()
    site.answers = [Answer(length=None)]
    download(remote(site), tmp_path / "g.bin", on_progress=lambda *at: seen.append(at))
    assert seen == [(len(BODY), None)], "a server that does not say the size"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk is full; free some space"),
        (errno.EIO, r"cannot be written \(Input/output error\)"),
    ],
)
def test_a_disk_that_fails_is_told_and_not_tried_again(
    number: int, said: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    def fail(self: Any, chunk: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module._Sink, "write", fail)
    with pytest.raises(DownloadError, match=said):
        download(remote(site), tmp_path / "f.bin")
    assert len(site.asked) == 1 and waits == []


@pytest.mark.parametrize(("free", "there", "fits"), [(60, 40, True), (59, 40, False), (100, 0, True), (99, 0, False)])
def test_only_what_is_missing_must_find_room(
    free: int, there: int, fits: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        part(site.url, tmp_path, BODY[:there], '"v1"')
        site.answers = [rest(there)]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free}))
    if fits:
        assert download(remote(site, size=len(BODY)), tmp_path / "f.bin").read_bytes() == BODY
        return
    with pytest.raises(DownloadError, match="GB are needed"):
        download(remote(site, size=len(BODY)), tmp_path / "f.bin")
    assert site.asked == []


def test_a_lock_that_its_holder_has_just_removed_is_not_taken(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock = tmp_path / "f.bin.lock"

    def gone(handle: Any, how: int) -> None:
        lock.unlink()

    monkeypatch.setattr(fcntl, "flock", gone)
    with pytest.raises(DownloadError, match="another process is fetching it"):
        download(remote(site), tmp_path / "f.bin")
    assert site.asked == []
