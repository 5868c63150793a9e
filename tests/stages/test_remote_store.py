"""The stage store at an address: what a local store promises, and what only several machines can break."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from benchmark.cli.main import main
from benchmark.core.errors import StoreError
from benchmark.fetching.remote import Remote
from benchmark.running.doctor import places as doctor_places
from benchmark.stages.context import Context
from benchmark.stages.opening import StorePlace
from benchmark.stages.store import Store
from tests.harness import typed
from tests.remote_runs import killed_and_resumed
from tests.slow_pipeline import digest, slow_stage, write_images

KEY, OTHER = "ab" * 32, "cd" * 32
VALUE = {"x": np.arange(7)}
ADDRESS = "memory://bucket/prefix"


@pytest.fixture(autouse=True)
def empty_memory() -> Iterator[None]:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield
    MemoryFileSystem.store.clear()


def opened(local: Path, address: str = ADDRESS, **limits: Any) -> Store:
    return StorePlace(root=address, local=local, **limits).open()


def at_address() -> dict[str, bytes]:
    return {name: file.getvalue() for name, file in MemoryFileSystem.store.items()}


def same(found: Any) -> bool:
    return found is not None and np.array_equal(found["x"], VALUE["x"])


def test_any_process_opens_the_store_from_what_a_pickle_carries(tmp_path: Path) -> None:
    place = StorePlace(root=ADDRESS, local=tmp_path / "a")
    place.open().put("toy", KEY, VALUE)
    assert same(opened(tmp_path / "b").get("toy", KEY))
    assert pickle.loads(pickle.dumps(place)) == place
    Store(tmp_path / "local").put("toy", KEY, VALUE)
    here = {p.relative_to(tmp_path / "local").as_posix(): p.read_bytes() for p in (tmp_path / "local").rglob("*.zst")}
    assert at_address() == {f"/bucket/prefix/stages/{name}": data for name, data in here.items()}


def test_a_second_writer_of_a_key_is_harmless(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "a"), opened(tmp_path / "b")
    first.put("toy", KEY, VALUE)
    once = at_address()
    second.put("toy", KEY, VALUE)
    assert at_address() == once
    assert same(first.get("toy", KEY))


def test_a_read_leaves_a_copy_that_serves_without_the_address(tmp_path: Path) -> None:
    opened(tmp_path / "a").put("toy", KEY, VALUE)
    reader = opened(tmp_path / "b")
    assert not reader.here.contains("toy", KEY)
    assert same(reader.get("toy", KEY))
    MemoryFileSystem.store.clear()
    assert same(reader.get("toy", KEY))


def test_the_copies_are_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = opened(tmp_path, max_bytes=10_000)
    for i in range(40):
        store.put("toy", f"{i:064x}", {"x": rng.integers(0, 255, 1000, dtype=np.uint8)})
    assert sum(entry.size for entry in store.here.entries()) <= 10_600
    assert sum(1 for _ in store.entries()) == 40
    assert all(store.get("toy", f"{i:064x}") is not None for i in range(40))


def test_a_corrupt_entry_is_dropped_from_the_address(tmp_path: Path) -> None:
    opened(tmp_path / "a").put("toy", KEY, VALUE)
    (name,) = at_address()
    for fetched in (False, True):
        fsspec.filesystem("memory").pipe_file(name, at_address().get(name, b"half")[:-3])
        reader = opened(tmp_path / f"reader-{fetched}")
        if fetched:
            assert reader.fetch("toy", [KEY]) == []
        assert reader.lookup("toy", KEY) == (None, True)
        assert reader.dropped["toy"] == 1
        assert not at_address()
        assert not reader.here.contains("toy", KEY)
        reader.put("toy", KEY, VALUE)


def test_a_corrupt_copy_is_read_again_from_the_address(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put("toy", KEY, VALUE)
    store.here.path("toy", KEY).write_bytes(b"half")
    found = store.lookup("toy", KEY)
    assert same(found.artifact)
    assert not found.dropped
    assert not store.dropped


def test_large_entries_stay_on_this_machine(tmp_path: Path) -> None:
    manifest = write_images(tmp_path / "images", 3)
    small, large = slow_stage(), slow_stage(version=2)
    object.__setattr__(large, "expected_bytes", 3_900_000)
    context = Context(manifest=manifest, samples=manifest.test, store=opened(tmp_path / "a"))
    digest(context, large)
    assert not at_address()
    digest(context, small)
    assert sum(name.endswith(".zst") for name in at_address()) == 3
    far = Context(manifest=manifest, samples=manifest.test, store=opened(tmp_path / "b", remote_bytes=4_000_000))
    digest(far, large)
    assert sum(name.endswith(".zst") for name in at_address()) == 6
    again = Context(manifest=manifest, samples=manifest.test, store=opened(tmp_path / "a"))
    digest(again, large)
    assert (again.stats["slow"].computed, again.stats["slow"].reused) == (0, 3)


def test_a_resumed_run_reads_in_bulk_and_computes_only_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_images(tmp_path / "images", 100)
    calm = digest(Context(manifest=manifest, samples=manifest.test, store=Store(tmp_path / "calm")), slow_stage())
    half = Context(manifest=manifest, samples=manifest.test[:50], store=opened(tmp_path / "a"))
    digest(half, slow_stage())
    reads: list[int] = []
    read_all = Remote.read_all

    def counted(self: Remote, names: Any) -> dict[str, bytes]:
        reads.append(len(found := list(names)))
        return read_all(self, found)

    monkeypatch.setattr(Remote, "read_all", counted)
    resumed = Context(manifest=manifest, samples=manifest.test, store=opened(tmp_path / "b"))
    assert digest(resumed, slow_stage()) == calm
    assert (resumed.stats["slow"].computed, resumed.stats["slow"].reused) == (50, 50)
    assert sorted(n for n in reads if n) == [1, 36, 64], "two windows, and of what is put the first one alone"


class Renaming(LocalFileSystem):
    """A file system whose writes are not atomic, and that refuses to rename over a file, as Hadoop's does."""

    protocol = "renaming"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("renaming://"))

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if Path(path2).exists():
            raise FileExistsError(path2)
        super().mv(path1, path2, **kwargs)

    def cat_file(self, path: Any, *args: Any, **kwargs: Any) -> bytes:
        assert Path(path).exists(), "Hadoop's client prints pages about it"
        content: bytes = super().cat_file(path, *args, **kwargs)
        return content

    def rm_file(self, path: Any) -> None:
        assert Path(path).exists(), "Hadoop's client fails"
        super().rm_file(path)


def test_elsewhere_a_write_is_renamed_into_place(tmp_path: Path) -> None:
    fsspec.register_implementation("renaming", Renaming, clobber=True)
    address = f"renaming://{tmp_path / 'shared'}"
    first, second = opened(tmp_path / "a", address), opened(tmp_path / "b", address)
    first.put("toy", KEY, VALUE)
    second.put("toy", KEY, VALUE)
    third = opened(tmp_path / "c", address)
    assert third.fetch("toy", [KEY, OTHER]) == [OTHER]
    assert same(third.get("toy", KEY))
    assert [path.suffix for path in (tmp_path / "shared").rglob("*") if path.is_file()] == [".zst"]
    third.remove([*third.entries(), *third.entries()])
    assert not list(third.entries())


def test_file_addresses_are_folders(tmp_path: Path) -> None:
    from benchmark.core.addresses import place

    assert place(f"file://{tmp_path}/x") == tmp_path / "x"


def cache(tmp_path: Path, *words: str) -> int:
    return main(["cache", "--root", ADDRESS, "--local", str(tmp_path), *words])


def test_the_cache_command_works_on_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = opened(tmp_path)
    stage = slow_stage()
    store.note("slow", stage.fingerprint, stage.facts)
    for i in range(3):
        store.put("slow", stage.key(str(i)), VALUE)
    assert cache(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "last written" in shown
    assert "on this machine" in shown
    name = next(name for name in at_address() if stage.key("0") in name)
    fsspec.filesystem("memory").pipe_file(name, b"half")
    assert cache(tmp_path, "verify") == 0
    assert "3 entries read, 1 damaged and removed" in capsys.readouterr().out
    assert cache(tmp_path, "explain") == 0
    assert "slow: 1 fingerprint" in capsys.readouterr().out
    assert cache(tmp_path, "prune", "--stage", "slow", "--dry-run") == 0
    assert "2 files" in capsys.readouterr().out
    assert cache(tmp_path, "prune", "--stage", "slow") == 0
    assert not at_address()
    assert not list(store.here.entries())


def test_doctor_says_whether_an_address_answers(tmp_path: Path) -> None:
    run = typed(f"run.cache_root={ADDRESS}", f"run.cache_local={tmp_path}", "run.results_copy=gs://bucket/x").run
    rows = {name: (place, told) for name, place, told in doctor_places(run)}
    assert rows["cache_root"] == (ADDRESS, "answers")
    assert rows["cache_local"][0] == str(tmp_path)
    assert "package gcsfs" in rows["results_copy"][1]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("gs://bucket/x", "package gcsfs"),
        ("az://container/x", "package adlfs"),
        ("hdf://host/x", "did you mean 'hdfs'"),
    ],
)
def test_a_place_that_cannot_be_used_is_told_with_its_fix(tmp_path: Path, address: str, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        opened(tmp_path, address)


def test_a_place_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.fetching.remote.FIRST_SECONDS", 0.2)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(StoreError, match="see that the host answers"):
        opened(tmp_path)
    assert time.monotonic() - start < 3


class S3:
    """A stand-in for S3 on the loopback: moto's server, in a process of its own, with one bucket."""

    address = "s3://stages/factory"

    def __init__(self, folder: Path) -> None:
        program = (
            "import sys, threading\n"
            "from moto.server import ThreadedMotoServer\n"
            "server = ThreadedMotoServer('127.0.0.1', 0, verbose=False)\n"
            "server.start()\n"
            "print(server.get_host_and_port()[1], flush=True)\n"
            "sys.stdin.read()\n"
        )
        with (folder / "moto.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(self.process.stdout.readline())}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a-key-that-nobody-prints",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    server = S3(tmp_path_factory.mktemp("moto"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        try:
            fsspec.filesystem("s3", use_listings_cache=False).mkdir("stages")
            yield server
        finally:
            fsspec.filesystem("s3").clear_instance_cache()
            server.close()


def test_s3_keeps_what_a_store_promises(s3: S3, tmp_path: Path) -> None:
    first, second = opened(tmp_path / "a", s3.address), opened(tmp_path / "b", s3.address)
    first.put("toy", KEY, VALUE)
    second.put("toy", KEY, VALUE)
    third = opened(tmp_path / "c", s3.address)
    assert third.fetch("toy", [KEY, OTHER]) == [OTHER]
    assert same(third.get("toy", KEY))
    assert third.get("toy", OTHER) is None
    (entry,) = third.entries()
    assert (entry.stage, entry.key) == ("toy", KEY)
    assert abs(entry.used - time.time()) < 300
    fsspec.filesystem("s3").pipe_file(f"{s3.address}/stages/toy/ab/{KEY}.safetensors.zst", b"half")
    fourth = opened(tmp_path / "d", s3.address)
    assert fourth.lookup("toy", KEY) == (None, True)
    assert not list(fourth.entries())
    with pytest.raises(StoreError, match="there is no such bucket"):
        opened(tmp_path / "e", "s3://nothing/here").put("toy", KEY, VALUE)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_whole_run_against_s3_is_killed_and_resumed_with_an_equal_digest(s3: S3, tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, s3.address, secret=s3.environment["AWS_SECRET_ACCESS_KEY"])
