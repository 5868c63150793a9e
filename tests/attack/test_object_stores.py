"""Attacks on the store at an address: hosts that answer anything, buckets that are not there, folders that are full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pytest

from benchmark.core.addresses import checked_address
from benchmark.core.errors import BenchmarkError, ConfigError, ResultsError, StoreError
from benchmark.fetching.remote import Remote
from benchmark.stages.opening import StorePlace
from benchmark.stages.store import Store
from tests.harness import SMALL_SAT, run, typed

HOST_SECRET = "a-key-that-nobody-prints"
NO_KEY = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'
NO_BUCKET = b'<?xml version="1.0"?><Error><Code>NoSuchBucket</Code></Error>'
ANSWERS: dict[str, tuple[int, bytes, float]] = {
    "a web server without the page": (404, b"<html>no</html>", 0.0),
    "no key, and no listing": (404, NO_KEY, 0.0),
    "no bucket": (404, NO_BUCKET, 0.0),
    "refused": (403, b"", 0.0),
    "an error": (500, b"", 0.0),
    "too busy": (503, b"", 0.0),
    "a reply that ends too soon": (200, b"", 0.0),
    "silence": (200, b"", 5.0),
}
"""Status, body and seconds before it, of a host that says the same to every request."""


@pytest.fixture(scope="module")
def host() -> Iterator[type[BaseHTTPRequestHandler]]:
    """A host for which s3fs is set up; ``answer`` of its handler is what it says."""
    s3fs = pytest.importorskip("s3fs")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answer = ANSWERS["refused"]

        def answer_all(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, body, seconds = self.answer
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("content-length", str(len(body) if status != 200 else 1000))
            self.end_headers()
            self.close_connection = status == 200
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer_all)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", HOST_SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        yield Handler
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_host_that_is_no_store_is_told_before_anything_is_computed(
    answer: str, host: type[BaseHTTPRequestHandler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.fetching.remote.FIRST_SECONDS", 1.0 if answer == "silence" else 30.0)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setattr(host, "answer", ANSWERS[answer])
    with pytest.raises(StoreError, match="s3://stages/x/stages cannot be opened") as caught:
        StorePlace(root="s3://stages/x", local=tmp_path).open()
    said = str(caught.value)
    fix = "no such bucket" if "no " in answer else "log in" if answer == "refused" else "see that the host answers"
    assert fix in said and "\n" not in said and HOST_SECRET not in said


@pytest.mark.parametrize(
    "text", ["s3://b//x", "s3://b/./x", "s3://b/../x", "s3://b/a b", "s3://b/*", "s3://", "s3:///"]
)
def test_an_address_of_several_spellings_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"name one place|names no place"):
        checked_address(text)


@pytest.mark.parametrize("text", ["s3://b/übung/é", "s3://b/a%2e%2e/%20", "hdfs:///user/x", "memory://b/x/"])
def test_an_address_of_one_spelling_is_taken(text: str) -> None:
    assert checked_address(text) == text.rstrip("/")


@pytest.mark.parametrize("kind", ["file", "gone"])
def test_a_folder_of_copies_that_cannot_be_written_is_named_with_its_setting(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    local = tmp_path / "file" if kind == "file" else Path("/proc/nowhere")
    store = StorePlace(root=f"memory://{tmp_path.name}", local=local).open()
    with pytest.raises(StoreError, match=r"run\.cache_local=…"):
        store.put("toy", "ab" * 32, {"x": np.arange(3)})
    elsewhere = StorePlace(root=f"memory://{tmp_path.name}", local=tmp_path / "other").open()
    assert elsewhere.contains("toy", "ab" * 32), "what was computed lies at the address"


@pytest.mark.parametrize("place", ["/proc/nowhere", "gs://bucket/x"])
def test_a_copy_that_cannot_be_put_is_told_before_anything_is_computed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("something was computed"))
    with pytest.raises(
        (StoreError, ResultsError), match=r"give another place: run\.results_copy=|run\.results_copy=.*package gcsfs"
    ):
        run(tmp_path, *SMALL_SAT, "pipeline=reference_difference", f"run.results_copy={place}")


def test_a_copy_that_fails_in_the_end_says_where_the_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Remote.write

    def refuse(self: Remote, name: str, data: bytes) -> None:
        if name.startswith("runs/"):
            raise StoreError("memory://copy cannot be written (Forbidden): log in")
        write(self, name, data)

    words = (*SMALL_SAT, "pipeline=constant", "metric=labels", f"run.results_copy=memory://{tmp_path.name}")
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.fetching.remote.Remote.write", refuse)
        with pytest.raises(StoreError, match=r"run\.results_copy=.*the run is whole in .*the same command copies"):
            run(tmp_path, *words)
    assert run(tmp_path, *words, "run.overwrite=never").reused
    assert fsspec.filesystem("memory").glob(f"memory://{tmp_path.name}/runs/*/result.json")


@pytest.mark.parametrize("size", ["0", "-1", "a", "1.5", "null"])
def test_a_batch_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises((ConfigError, BenchmarkError), match=r"run\.batch_size"):
        typed(f"run.batch_size={size}")
