"""Attacks by what is fetched: bodies without end, answers that are no file, and archives that lose members."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import DownloadError
from benchmark.fetching import download as fetching
from benchmark.fetching.archives import unpack
from benchmark.fetching.download import Remote, download

Handle = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(handle: Handle) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                handle(self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.zip"
    finally:
        server.shutdown()
        server.server_close()


def answer(to: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.end_headers()
    to.wfile.write(body)


def test_a_body_without_end_stops_at_the_known_size(tmp_path: Path) -> None:
    def endless(to: BaseHTTPRequestHandler) -> None:
        answer(to, 200)
        while True:
            to.wfile.write(bytes(1 << 16))

    with serving(endless) as url, pytest.raises(DownloadError, match="bytes instead of 1000"):
        download(Remote(urls=(url,), size=1000), tmp_path / "a.zip", pause=0.01)
    assert not (tmp_path / "a.zip").exists()
    assert all(path.stat().st_size <= 1001 for path in tmp_path.iterdir())


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 207, 226])
def test_an_answer_that_is_no_file_is_refused(status: int, tmp_path: Path) -> None:
    with serving(lambda to: answer(to, status)) as url, pytest.raises(DownloadError, match=str(status)):
        download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01)
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_an_encoded_body_is_refused(encoding: str, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 20))
    with (
        serving(lambda to: answer(to, 200, bomb, Content_Encoding=encoding)) as url,
        pytest.raises(DownloadError, match="another encoding"),
    ):
        download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01)


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", ""])
def test_a_length_that_is_none_is_passed_over(length: str, tmp_path: Path) -> None:
    with serving(lambda to: answer(to, 200, b"content", Content_Length=length)) as url:
        try:
            got = download(Remote(urls=(url,), size=7), tmp_path / "a.zip", pause=0.01, attempts=1).read_bytes()
            assert got == b"content"
        except DownloadError as error:  # the HTTP client itself may refuse it
            assert "a.zip" in str(error)


def test_the_wait_that_a_server_asks_for_is_kept(tmp_path: Path) -> None:
    asked: list[float] = []

    def busy(to: BaseHTTPRequestHandler) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            answer(to, 503, Retry_After="1")
        else:
            answer(to, 200, b"content", Content_Length="7")

    with serving(busy) as url:
        download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01)
    assert len(asked) == 2 and asked[1] - asked[0] >= 1


def test_the_rest_of_another_version_starts_anew(tmp_path: Path) -> None:
    """A server that ignores If-Range would give the end of a new file behind the start of the old one."""
    number: list[str | None] = []

    def changing(to: BaseHTTPRequestHandler) -> None:
        asked = to.headers.get("Range")
        number.append(asked)
        if len(number) == 1:
            answer(to, 200, b"old-", Content_Length="8", ETag='"1"')
        elif asked:
            answer(to, 206, b"new2", Content_Length="4", Content_Range="bytes 4-7/8", ETag='"2"')
        else:
            answer(to, 200, b"new1new2", Content_Length="8", ETag='"2"')

    with serving(changing) as url:
        got = download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01)
    assert got.read_bytes() == b"new1new2"


DRIPS = {
    "status line": b"HTTP/1.1 200 OK",
    "headers": b"HTTP/1.1 200 OK\r\nx-a: ",
    "body with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "body to the end": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("first", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_does_not_hold_a_download(
    first: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(first)
        while not ended.wait(0.05):
            to.wfile.write(b"x")

    monkeypatch.setattr(fetching, "_STALLED_SECONDS", 0.4)
    begun = time.monotonic()
    with serving(drip) as url, pytest.raises(DownloadError, match="next to nothing"):
        try:
            download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01, attempts=2)
        finally:
            ended.set()
    assert time.monotonic() - begun < 10 and not (tmp_path / "a.zip").exists()


def test_a_slow_server_that_gets_on_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", str(8 << 14))
        to.end_headers()
        for _ in range(8):
            to.wfile.write(bytes(1 << 14))
            time.sleep(0.15)

    monkeypatch.setattr(fetching, "_STALLED_SECONDS", 0.6)
    with serving(slow) as url:
        got = download(Remote(urls=(url,)), tmp_path / "a.zip", pause=0.01, attempts=1)
    assert got.stat().st_size == 8 << 14


def tar_of(names: list[str], *, mode: str = "w:", sizes: int = 700) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = sizes
            tar.addfile(info, io.BytesIO((name.encode() + b"x")[:1] * sizes))
    return stream.getvalue()


def unpacked(content: bytes, folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    (folder / "a.tar").write_bytes(content)
    return unpack(folder / "a.tar", folder / "out")


NAMES = [f"f{k}" for k in range(6)]


def test_a_tar_cut_anywhere_loses_no_member_silently(tmp_path: Path) -> None:
    content = tar_of(NAMES)
    end = 6 * 1536
    assert unpacked(content, tmp_path / "whole") == NAMES
    for cut in range(0, end + 1, 256):
        with pytest.raises(DownloadError):
            unpacked(content[:cut], tmp_path / f"cut{cut}")
        assert not list((tmp_path / f"cut{cut}" / "out").glob("f*"))


def test_a_flipped_byte_in_any_header_loses_no_member_silently(tmp_path: Path) -> None:
    content, refused = tar_of(NAMES), 0
    for member in range(6):
        for at in (0, 100, 124, 130, 148, 150, 156, 257):
            changed = bytearray(content)
            changed[member * 1536 + at] ^= 1
            try:
                assert len(unpacked(bytes(changed), tmp_path / f"{member}-{at}")) == 6
            except DownloadError:
                refused += 1
    assert refused == 48


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_flipped_byte_in_a_compressed_tar_is_refused(mode: str, tmp_path: Path) -> None:
    content = tar_of(NAMES, mode=mode)
    whole = {p.name: p.read_bytes() for p in _files(content, tmp_path / "whole")}
    for at in range(12, len(content), max(1, len(content) // 60)):
        changed = bytearray(content)
        changed[at] ^= 16
        try:
            found = {p.name: p.read_bytes() for p in _files(bytes(changed), tmp_path / f"{at}")}
        except DownloadError:
            continue
        assert found == whole


def _files(content: bytes, folder: Path) -> list[Path]:
    unpacked(content, folder)
    return sorted((folder / "out").iterdir())


def test_a_huge_header_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * (4 << 20)}
        tar.addfile(info)
    with pytest.raises(DownloadError, match="a header of"):
        unpacked(stream.getvalue(), tmp_path / "pax")


@pytest.mark.parametrize("name", ["", ".", "./", "/", "../x", "a/../../x", "C:/x", "a\\b", "a/./../../b"])
def test_odd_names_of_members_leave_nothing(name: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    for content in (stream.getvalue(), tar_of([name])):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with contextlib.suppress(DownloadError):  # a folder "./" is the target itself
            assert unpacked(content, folder) == []
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "a.tar"]
