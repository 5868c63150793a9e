"""Attacks on the store at an address: hosts that answer anything, buckets that are not there, folders that are full."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from benchmark.core.addresses import checked_address
from benchmark.core.errors import BenchmarkError, ConfigError, ResultsError, StoreError
from benchmark.fetching.remote import Remote
from benchmark.fetching.store_faults import fix_of, reason_of
from benchmark.results.at_address import check_copy
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
    "a login page": (200, b"<html>log in</html>", 0.0),
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
            self.send_header("content-length", str(len(body) or (1000 if status == 200 else 0)))
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


class Said(Exception):
    """What gcsfs (``code``) and Azure's client (``status_code``) raise."""

    def __init__(self, text: str, **status: int) -> None:
        super().__init__(text)
        vars(self).update(status)


@pytest.mark.parametrize(
    ("address", "error", "fix"),
    [
        ("gs://b/x", Said("Anonymous caller does not have storage.objects.list access", code=401), "gcloud auth"),
        ("gs://b/x", OSError("Forbidden: b/o\nno access"), "gcloud auth"),
        ("gs://b/x", Said("Invalid bucket name: 'B_!'", code=400), "cannot have that name"),
        ("gs://b/x", Said("Bad gateway", code=502), r"STORAGE_EMULATOR_HOST"),
        ("az://b/x", Said("Server failed to authenticate the request.", status_code=403), "az login"),
        ("az://b/x", Said("The specified container does not exist.", status_code=404), "no such bucket"),
        (
            "az://b/x",
            ValueError("unable to connect to account for Connection string missing required connection details."),
            "a whole AZURE_STORAGE_CON",
        ),
        ("az://b/x", ValueError("Required Content-Range response header is missing"), "see that the host answers"),
        ("az://b/x", Said("busy", status_code=503), "AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3://b/x", PermissionError("Access Denied"), "AWS_PROFILE"),
        ("hdfs://h/x", PermissionError("Permission denied: user=me"), "log in as the provider's own tools do"),
        ("hdfs://h/x", OSError("Unable to load libhdfs"), "HADOOP_HOME"),
    ],
)
def test_what_a_provider_refuses_is_told_with_its_own_fix(address: str, error: Exception, fix: str) -> None:
    assert re.search(fix, fix_of(error, address))


def test_an_error_does_not_list_all_files_that_it_is_about() -> None:
    try:
        try:
            raise Said("The account is being disabled.\nRequestId: 1", status_code=403)
        except Said as cause:
            raise RuntimeError("Failed to remove %s for %s", ["container/x"] * 1000, cause) from cause
    except RuntimeError as error:
        assert reason_of(error) == "The account is being disabled."
    assert len(reason_of(OSError("x" * 5000))) < 310


@pytest.mark.parametrize("kind", ["refused", "lost", "under any name"])
def test_a_place_that_takes_no_files_is_told_before_anything_is_computed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(self: MemoryFileSystem, path: str, value: bytes, **_: object) -> None:
        if kind == "refused":
            raise PermissionError("Access Denied")

    if kind == "under any name":
        monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: b"<html>log in</html>")
    else:
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", put)
    told = {"refused": "Access Denied", "lost": "is not what is read there", "under any name": "no object store"}[kind]
    address = f"memory://{tmp_path.name}"
    with pytest.raises(StoreError, match=rf"run\.results_copy={address}: {address} cannot be .*{told}"):
        check_copy(address)
    if kind == "lost":
        with pytest.raises(StoreError, match="is not what is read there"):
            StorePlace(root=address, local=tmp_path).open().put("toy", "ab" * 32, {"x": np.arange(3)})


def test_a_file_in_the_place_of_a_folder_is_no_entry(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/stages/toy", b"a file")
    store = StorePlace(root=f"memory://{tmp_path.name}", local=tmp_path).open()
    assert not list(store.entries("toy"))
    assert not list(store.entries())


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
