"""Small entries one file each, as the stage store keeps them, against entries packed into one SQLite database a stage.

Puts, gets (in another order), prunes the half unused longest, and measures the disk (allocated blocks), for entries of
1 kB. The database is written as a store would: WAL, ``synchronous=NORMAL``, one transaction a batch of 32. Both sides
take turns, a thousand entries each, so that whatever else the machine does slows both alike. The codec serves either
container and is timed by itself: a user waits for both, so the ratios that decide are those with it. What is told last
is how many puts of four processes at once come through.

Usage: python tests/perf/store.py [number of entries]
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.stages.codec import pack, unpack
from benchmark.stages.maintenance import prune
from benchmark.stages.store import Store

STAGE = "boxes"
BATCH = 32
TURN = 1024
WRITERS = 4
DATA = np.random.default_rng(0).bytes(1024)


def key(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()


class Files:
    """The store as it is."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def put(self, names: Sequence[str]) -> None:
        for name in names:
            self.store._keep(STAGE, name, DATA)

    def get(self, names: Sequence[str]) -> None:
        for name in names:
            with self.store.path(STAGE, name).open("rb") as file:
                assert len(file.read()) == len(DATA)
                os.fstat(file.fileno())  # when it was used last

    def prune(self, keep: int) -> None:
        prune(self.store, stages=[STAGE], older=None, max_size=keep, dry_run=False)


class Packed:
    """The candidate: key, bytes and time of the last use as rows of one database."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(root / f"{STAGE}.db", timeout=60, isolation_level=None)
        self.database.execute("pragma auto_vacuum = incremental")
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute("create table if not exists entries (key text primary key, data blob, used real)")

    def put(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), BATCH):
            rows = [(name, DATA, time.time()) for name in names[start : start + BATCH]]
            self._write("insert or replace into entries values (?, ?, ?)", rows)

    def _write(self, words: str, rows: Sequence[tuple[object, ...]]) -> None:
        self.database.execute("begin immediate")
        self.database.executemany(words, rows)
        self.database.execute("commit")

    def get(self, names: Sequence[str]) -> None:
        for name in names:
            data, _ = self.database.execute("select data, used from entries where key = ?", (name,)).fetchone()
            assert len(data) == len(DATA)

    def prune(self, keep: int) -> None:
        rows = self.database.execute("select key, length(data) from entries order by used").fetchall()
        held = sum(size for _, size in rows)
        doomed = []
        for name, size in rows:
            if held <= keep:
                break
            doomed.append((name,))
            held -= size
        self._write("delete from entries where key = ?", doomed)
        self.database.execute("pragma incremental_vacuum").fetchall()
        self.database.execute("pragma wal_checkpoint(truncate)").fetchall()


KINDS: dict[str, type[Files | Packed]] = {"files": Files, "packed": Packed}


def disk(root: Path) -> int:
    """Bytes of the blocks that a folder takes, the folders themselves included."""
    return sum(512 * path.lstat().st_blocks for path in (root, *root.rglob("*")))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(folder: Path, number: int) -> dict[str, dict[str, float]]:
    """Return by kind the seconds of each operation, and bytes on disk."""
    stores = {kind: make(folder / kind) for kind, make in KINDS.items()}
    found = {kind: {"put": 0.0, "get": 0.0} for kind in KINDS}
    names = [key(i) for i in range(number)]
    for what in ("put", "get"):
        for start in range(0, number, TURN):
            part = names[start : start + TURN]
            for kind, store in stores.items():
                work = store.put if what == "put" else store.get
                found[kind][what] += timed(partial(work, part))
        for kind in KINDS:
            found[kind].setdefault("disk", disk(folder / kind))
        random.Random(0).shuffle(names)
    for kind, store in stores.items():
        found[kind]["prune"] = timed(partial(store.prune, len(DATA) * number // 2))
        found[kind]["disk after prune"] = disk(folder / kind)
    return found


def codec(number: int = 2000) -> dict[str, float]:
    """Return the seconds that the codec takes for one entry of about 1 kB."""
    rng = np.random.default_rng(0)
    value = {"boxes": rng.random((32, 4), dtype=np.float32), "scores": rng.random(32, dtype=np.float32)}
    data = pack(value, stage=STAGE, key=key(0))
    put = timed(lambda: [pack(value, stage=STAGE, key=key(0)) for _ in range(number)])
    get = timed(lambda: [unpack(data, stage=STAGE, key=key(0)) for _ in range(number)])
    return {"put": put / number, "get": get / number}


def together(kind: str, root: Path, number: int) -> float:
    """Return the seconds that several processes, all started, take to put ``number`` entries into one store."""
    each = number // WRITERS
    KINDS[kind](root)
    words = [[sys.executable, __file__, kind, str(root), str(each), str(i * each)] for i in range(WRITERS)]
    processes = [subprocess.Popen(word, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for word in words]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    start = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * WRITERS
    return time.perf_counter() - start


def main(number: int) -> None:
    each = codec()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), number)
        several = {kind: together(kind, Path(folder, f"{kind}-{WRITERS}"), number // 10) for kind in KINDS}
    print(f"{number} entries of {len(DATA)} bytes")
    print(f"the codec: {1 / each['put']:.0f} entries/s in, {1 / each['get']:.0f} out")
    for kind, one in found.items():
        rates = ", ".join(f"{what} {number / one[what]:.0f}/s" for what in ("put", "get", "prune"))
        print(f"{kind}: {rates}, disk {one['disk'] / 1e6:.0f} MB, after pruning {one['disk after prune'] / 1e6:.0f} MB")
        print(f"{kind}: {WRITERS} processes put {number // 10 / several[kind]:.0f}/s together")
    files, packed = found["files"], found["packed"]
    for what, value in files.items():
        print(f"PERF store_{what.replace(' ', '_')}_files_over_packed {value / packed[what]:.2f}")
    for what, seconds in each.items():
        ratio = (files[what] + number * seconds) / (packed[what] + number * seconds)
        print(f"PERF store_{what}_with_codec_files_over_packed {ratio:.2f}")
    print(f"PERF store_put_{WRITERS}_processes_files_over_packed {several['files'] / several['packed']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 5:
        kind, root, number, first = sys.argv[1:]
        store = KINDS[kind](Path(root))
        print("ready", flush=True)
        sys.stdin.read()
        store.put([key(int(first) + i) for i in range(int(number))])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
