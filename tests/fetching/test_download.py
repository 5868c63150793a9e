"""Downloads against a local server: interrupted, resumed, damaged, refused."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import DownloadError
from benchmark.fetching import download as module
from benchmark.fetching.download import Remote, download, mismatch

BODY = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Behaviour:
    """What the server does; tests change it."""

    body: bytes = BODY
    ranges: bool = True
    etag: str | None = '"v1"'
    break_after: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off."""
    status: list[int] = field(default_factory=list)
    """Statuses of the next answers, 200 when empty."""
    asked: list[str | None] = field(default_factory=list)
    """Range header of every request."""


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.status:
                self.send_error(behaviour.status.pop(0))
                return
            start = 0
            valid = self.headers.get("If-Range") in (None, behaviour.etag)
            if wanted and behaviour.ranges and valid:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            rest = behaviour.body[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(behaviour.body) - 1}/{len(behaviour.body)}")
            self.end_headers()
            self.wfile.write(rest[: behaviour.break_after.pop(0)] if behaviour.break_after else rest)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    yield f"http://127.0.0.1:{http.server_port}/file.bin", behaviour
    http.shutdown()
    http.server_close()


def remote(url: str, *mirrors: str, **known: Any) -> Remote:
    return Remote(urls=(url, *mirrors), **{"sha256": SHA256, "size": len(BODY), **known})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_with_progress(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    seen: list[tuple[int, int | None]] = []
    target = download(remote(url), tmp_path / "new" / "f.bin", on_progress=lambda *at: seen.append(at))
    assert target.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert leftovers(tmp_path / "new") == ["f.bin"]


def test_a_file_that_is_there_needs_no_network(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    download(remote(url), tmp_path / "f.bin")
    download(remote(url), tmp_path / "f.bin", offline=True)
    assert len(behaviour.asked) == 1


def test_interrupted_twice_goes_on_where_it_broke_off(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.break_after = [3_000_000, 1_000_000]
    download(remote(url), tmp_path / "f.bin", pause=0)
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert behaviour.asked[0] is None
    offsets = [int(str(asked).removeprefix("bytes=").rstrip("-")) for asked in behaviour.asked[1:]]
    assert len(offsets) == 2
    assert 0 < offsets[0] <= 3_000_000 < offsets[1] <= 4_000_000


def test_resumed_by_the_next_run(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.break_after = [3_000_000]
    with pytest.raises(DownloadError, match=r"f\.bin could not be fetched\. http.*broke off"):
        download(remote(url), tmp_path / "f.bin", attempts=1)
    assert leftovers(tmp_path) == ["f.bin.part", "f.bin.part.json"]
    download(remote(url), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert behaviour.asked[1] is not None


@pytest.mark.parametrize("case", ["no ranges", "changed on the server"])
def test_starts_over_where_it_cannot_go_on(case: str, server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.break_after = [3_000_000]
    with pytest.raises(DownloadError):
        download(remote(url), tmp_path / "f.bin", attempts=1)
    if case == "no ranges":
        behaviour.ranges = False
        download(remote(url), tmp_path / "f.bin")
        assert (tmp_path / "f.bin").read_bytes() == BODY
    else:
        behaviour.body, behaviour.etag = BODY[::-1], '"v2"'
        download(remote(url, sha256=None), tmp_path / "f.bin")
        assert (tmp_path / "f.bin").read_bytes() == BODY[::-1]


def test_without_validator_only_a_checksum_allows_to_resume(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.etag = None
    for known, resumed in ({"sha256": SHA256}, True), ({"sha256": None}, False):
        target = tmp_path / str(resumed) / "f.bin"
        behaviour.break_after = [3_000_000]
        with pytest.raises(DownloadError):
            download(remote(url, **known), target, attempts=1)
        download(remote(url, **known), target)
        assert target.read_bytes() == BODY
        assert (behaviour.asked[-1] is not None) == resumed


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"sha256": None, "md5": "0" * 32}, {"size": 7}])
def test_wrong_checksum_or_size_is_kept_aside(
    known: dict[str, Any], server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    url, _ = server
    with pytest.raises(DownloadError, match=r"instead of .*kept as .*f\.bin\.rejected"):
        download(remote(url, **known), tmp_path / "f.bin")
    assert leftovers(tmp_path) == ["f.bin.rejected"]
    read = 8 if "size" in known else None  # no more is taken than shows that the file is too long
    assert (tmp_path / "f.bin.rejected").read_bytes() == BODY[:read]


def test_a_wrong_file_in_place_is_kept_aside_and_fetched_anew(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    (tmp_path / "f.bin").write_bytes(b"old")
    with pytest.raises(DownloadError, match=r"3 bytes instead of .*kept as f\.bin\.rejected"):
        download(remote(url), tmp_path / "f.bin", offline=True)
    (tmp_path / "f.bin").write_bytes(b"old")
    download(remote(url), tmp_path / "f.bin")
    assert (tmp_path / "f.bin.rejected").read_bytes() == b"old"
    assert mismatch(tmp_path / "f.bin", remote(url)) is None


def test_mirrors_are_tried_in_order(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.status = [404]
    download(remote(url, url + "?mirror"), tmp_path / "f.bin", pause=0)
    assert len(behaviour.asked) == 2
    behaviour.status = [404, 404]
    with pytest.raises(DownloadError, match=r"answers 404 Not Found; .*mirror: the server answers 404"):
        download(remote(url, url + "?mirror"), tmp_path / "g.bin", pause=0)


def test_a_busy_server_is_asked_again(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.status = [503, 429]
    download(remote(url), tmp_path / "f.bin", pause=0)
    assert len(behaviour.asked) == 3


def test_no_server_and_offline(tmp_path: Path) -> None:
    nowhere = remote("http://127.0.0.1:9/f.bin")
    with pytest.raises(DownloadError, match="connection failed"):
        download(nowhere, tmp_path / "f.bin", attempts=2, pause=0)
    with pytest.raises(DownloadError, match=r"not there, and offline; fetch http://127\.0\.0\.1:9/f\.bin elsewhere"):
        download(nowhere, tmp_path / "f.bin", offline=True)


def test_full_disk_keeps_what_arrived(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = server

    def full(self: Any, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module._Sink, "write", full)
        with pytest.raises(DownloadError, match=r"the disk is full; free some space and run again"):
            download(remote(url), tmp_path / "f.bin")
    assert not (tmp_path / "f.bin").exists()
    with pytest.raises(DownloadError, match=r"GB are needed and .* GB are free"):
        download(remote(url, size=1 << 60), tmp_path / "f.bin")


def test_one_process_at_a_time(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    with (tmp_path / "f.bin.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is fetching it"):
            download(remote(url), tmp_path / "f.bin")


def test_unwritable_folder(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    (tmp_path / "file").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="choose another folder"):
        download(remote(url), tmp_path / "file" / "f.bin")
