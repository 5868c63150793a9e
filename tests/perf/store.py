"""Small entries one file each, as the stage store keeps them, against entries packed into one SQLite database a stage.

Puts, gets (in another order), prunes the half unused longest, and measures the disk (allocated blocks), for entries of
about 1 kB. The database is written as a store would: WAL, ``synchronous=NORMAL``, one transaction a batch of 32. Both
sides serialise with the store's codec; what that alone takes is printed too, as no container saves it. What is told
last is how many puts of four processes at once come through a second.

Usage: python tests/perf/store.py [number of entries]
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmark.stages.codec import pack, unpack
from benchmark.stages.maintenance import prune
from benchmark.stages.store import Store

STAGE = "boxes"
BATCH = 32
WRITERS = 4


def key(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()


def artifacts(number: int, first: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield keys with about 1 kB of boxes and scores that do not compress."""
    for i in range(first, first + number):
        rng = np.random.default_rng(i)
        yield key(i), {"boxes": rng.random((32, 4), dtype=np.float32), "scores": rng.random(32, dtype=np.float32)}


class Files:
    """The store as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root)

    def put(self, number: int, first: int = 0) -> None:
        for name, artifact in artifacts(number, first):
            self.store.put(STAGE, name, artifact)

    def get(self, names: list[str]) -> None:
        assert all(self.store.get(STAGE, name) is not None for name in names)

    def prune(self, keep: int) -> None:
        prune(self.store, stages=[STAGE], older=None, max_size=keep, dry_run=False)

    def held(self) -> int:
        return sum(entry.size for entry in self.store.entries(STAGE))


class Packed:
    """The candidate: key, bytes and time of the last use as rows of one database."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.database = sqlite3.connect(root / f"{STAGE}.db", timeout=60, isolation_level=None)
        self.database.execute("pragma auto_vacuum = incremental")
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute("create table if not exists entries (key text primary key, data blob, used real)")

    def put(self, number: int, first: int = 0) -> None:
        batch = []
        for name, artifact in artifacts(number, first):
            batch.append((name, pack(artifact, stage=STAGE, key=name), time.time()))
            if len(batch) == BATCH:
                self._write(batch)
                batch = []
        self._write(batch)

    def _write(self, batch: list[tuple[str, bytes, float]]) -> None:
        self.database.execute("begin immediate")
        self.database.executemany("insert or replace into entries values (?, ?, ?)", batch)
        self.database.execute("commit")

    def get(self, names: list[str]) -> None:
        for name in names:
            (data,) = self.database.execute("select data from entries where key = ?", (name,)).fetchone()
            unpack(data, stage=STAGE, key=name)

    def prune(self, keep: int) -> None:
        rows = self.database.execute("select key, length(data) from entries order by used").fetchall()
        held = sum(size for _, size in rows)
        doomed = []
        for name, size in rows:
            if held <= keep:
                break
            doomed.append((name,))
            held -= size
        self.database.execute("begin immediate")
        self.database.executemany("delete from entries where key = ?", doomed)
        self.database.execute("commit")
        self.database.execute("pragma incremental_vacuum").fetchall()
        self.database.execute("pragma wal_checkpoint(truncate)").fetchall()

    def held(self) -> int:
        return int(self.database.execute("select sum(length(data)) from entries").fetchone()[0])


KINDS: dict[str, Callable[[Path], Files | Packed]] = {"files": Files, "packed": Packed}


def disk(root: Path) -> int:
    """Bytes of the blocks that a folder takes, the folders themselves included."""
    return sum(512 * path.lstat().st_blocks for path in (root, *root.rglob("*")))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(kind: str, root: Path, number: int) -> dict[str, float]:
    """Return seconds of each operation, and bytes on disk."""
    store = KINDS[kind](root)
    found = {"put": timed(lambda: store.put(number))}
    found["disk"] = disk(root)
    names = [key(i) for i in range(number)]
    random.Random(0).shuffle(names)
    found["get"] = timed(lambda: store.get(names))
    found["prune"] = timed(lambda: store.prune(store.held() // 2))
    found["disk after prune"] = disk(root)
    return found


def together(kind: str, root: Path, number: int) -> float:
    """Return the seconds that several processes take to put ``number`` entries into one store."""
    each = number // WRITERS
    words = [[sys.executable, __file__, kind, str(root), str(each), str(i * each)] for i in range(WRITERS)]
    KINDS[kind](root)
    start = time.perf_counter()
    processes = [subprocess.Popen(word) for word in words]
    assert [process.wait() for process in processes] == [0] * WRITERS
    return time.perf_counter() - start


def main(number: int) -> None:
    codec = timed(lambda: [unpack(pack(a, stage=STAGE, key=k), stage=STAGE, key=k) for k, a in artifacts(number // 10)])
    print(f"{number} entries; serialising and back alone: {number / 10 / codec:.0f} entries/s")
    with tempfile.TemporaryDirectory() as folder:
        found = {kind: measure(kind, Path(folder, kind), number) for kind in KINDS}
        several = {kind: together(kind, Path(folder, f"{kind}-{WRITERS}"), number // 5) for kind in KINDS}
    for kind, one in found.items():
        rates = ", ".join(f"{what} {number / one[what]:.0f}/s" for what in ("put", "get", "prune"))
        print(f"{kind}: {rates}, disk {one['disk'] / 1e6:.0f} MB, after pruning {one['disk after prune'] / 1e6:.0f} MB")
        print(f"{kind}: {WRITERS} processes put {number // 5 / several[kind]:.0f}/s together")
    for what in found["files"]:
        print(
            f"PERF store_{what.replace(' ', '_')}_files_over_packed {found['files'][what] / found['packed'][what]:.2f}"
        )
    print(f"PERF store_put_{WRITERS}_processes_files_over_packed {several['files'] / several['packed']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 5:
        KINDS[sys.argv[1]](Path(sys.argv[2])).put(int(sys.argv[3]), int(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
