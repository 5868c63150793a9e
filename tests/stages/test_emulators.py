"""The stage store and results on stand-ins for Google's and Azure's storage, and on a Hadoop file system.

None of them is in the lock. gs: packages gcsfs and gcp-storage-emulator; az: the package adlfs, and Azurite (npm) as
``azurite-blob`` on the PATH; hdfs: Hadoop's client, and a NameNode at ``BENCH_TEST_HDFS`` (``hdfs://host:port/folder``).
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from benchmark.core.errors import StoreError
from benchmark.fetching.remote import Remote
from benchmark.results.at_address import check_copy, copied, put_run
from benchmark.stages.opening import StorePlace
from tests.remote_runs import killed_and_resumed

pytestmark = pytest.mark.slow

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published with Azurite, and of no other use."""
ODD = (
    "a b.png",
    "a[1].png",
    "ü é.png",
    "100%.png",
    "a#1.png",
    "a?b.png",
    "x*.png",
    "a+b&c=d.png",
    "q'uote.png",
    "empty",
)


class Place(NamedTuple):
    """Where to store."""

    address: str
    secret: str | None
    nowhere: str | None
    """An address whose bucket is not there."""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _needs(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not here")


def _started(words: list[str], port: int, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    for _ in range(600):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, (folder / "server.log").read_text()
        time.sleep(0.1)
    process.kill()
    raise TimeoutError("the emulator does not listen")


@pytest.fixture(scope="module", params=["gs", "az", "hdfs"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, port, inside = tmp_path_factory.mktemp(request.param), _free_port(), f"é-{secrets.token_hex(4)}"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hdfs":
            if not (named := os.environ.get("BENCH_TEST_HDFS")):
                pytest.skip("BENCH_TEST_HDFS names no folder of a Hadoop file system")
            yield Place(f"{named.rstrip('/')}/{inside}", None, None)
            return
        if request.param == "gs":
            _needs("gcsfs", "gcp_storage_emulator")
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
            words = [sys.executable, "-m", "gcp_storage_emulator", "-d", str(folder / "data"), "start"]
            words += ["--host", "127.0.0.1", "--port", str(port), "--default-bucket", "bucket"]
        else:
            _needs("adlfs")
            if (program := shutil.which("azurite-blob")) is None:
                pytest.skip("there is no azurite-blob on the PATH")
            endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
            patch.setenv(
                "AZURE_STORAGE_CONNECTION_STRING",
                "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
                f"AccountKey={AZURITE_KEY};BlobEndpoint={endpoint};",
            )
            words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", str(folder / "data")]
            words += ["--disableTelemetry", "--skipApiVersionCheck"]
        process = _started(words, port, folder)
        try:
            if request.param == "az":
                import fsspec

                fsspec.filesystem("az").mkdir("bucket")
            protocol = request.param
            yield Place(
                f"{protocol}://bucket/{inside}", AZURITE_KEY if protocol == "az" else None, f"{protocol}://nobucket/x"
            )
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_it_keeps_what_a_store_promises(place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = [f"{i:064x}" for i in range(6)]
    first, second, third = (
        StorePlace(root=f"{place.address}/kept", local=tmp_path / name).open() for name in ("a", "b", "c")
    )
    for store in (first, second):  # the second writer of a key is harmless
        for key in keys[:4]:
            store.put("toy", key, {"x": np.arange(7)})
    assert third.fetch("toy", keys) == keys[4:]
    assert all(np.array_equal(third.get("toy", key)["x"], np.arange(7)) for key in keys[:4])  # type: ignore[index]
    assert {entry.key for entry in third.entries()} == set(keys[:4])
    assert all(abs(entry.used - time.time()) < 600 for entry in third.entries())
    remote = Remote(f"{place.address}/kept/stages")
    for number, damaged in enumerate((b"", b"<html>log in</html>", b"half")):
        remote.write(f"toy/00/{keys[number]}.safetensors.zst", damaged)
    remote.write("toy/README.txt", b"somebody else's")
    fourth = StorePlace(root=f"{place.address}/kept", local=tmp_path / "d").open()
    assert [fourth.lookup("toy", key).dropped for key in keys] == [True, True, True, False, False, False]
    assert {entry.key for entry in fourth.entries()} == {keys[3]}
    fourth.remove([*fourth.entries(), *fourth.entries()])
    assert not list(fourth.entries())
    assert "\tat org.apache" not in capfd.readouterr().err, "Hadoop's client printed where Java was"


def test_a_run_comes_back_as_it_was_put(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "sat-x"
    (folder / "export").mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    for name in ODD:
        (folder / "export" / name).write_bytes(b"" if name == "empty" else name.encode())
    address = f"{place.address}/results"
    check_copy(address)
    put_run(folder, address)
    found = copied(address) / "runs" / folder.name
    assert {path.name: path.read_bytes() for path in found.rglob("*") if path.is_file()} == {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_bucket_that_is_not_there_is_told_at_once(place: Place) -> None:
    if place.nowhere is None:
        pytest.skip("folders of a file system are made")
    with pytest.raises(StoreError, match="there is no such bucket"):
        Remote(place.nowhere)


@pytest.mark.timeout(1500)
def test_a_whole_run_is_killed_and_resumed_with_an_equal_digest(place: Place, tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, f"{place.address}/run", secret=place.secret)
