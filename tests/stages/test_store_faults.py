"""The store under attack: killed writers, several processes at once, and damaged files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.samples import Manifest
from benchmark.stages.context import Context
from benchmark.stages.maintenance import prune
from benchmark.stages.store import Store
from tests.slow_pipeline import digest, slow_stage, write_images

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 120
REGIONS = 200
KILLS = [3, pytest.param(20, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """A folder of images, its manifest, and the digest of an undisturbed run in this process."""
    folder = tmp_path_factory.mktemp("images")
    manifest = write_images(folder, IMAGES, side=96)
    context = Context(manifest=manifest, samples=manifest.test, store=Store(tmp_path_factory.mktemp("calm")))
    return folder, manifest, digest(context, slow_stage(count=REGIONS))


def start(folder: Path, store: Path, *, seconds: float) -> subprocess.Popen[str]:
    """Start a process that fills the store, and wait until it begins."""
    options = ["--count", str(IMAGES), "--seconds", str(seconds), "--regions", str(REGIONS)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.slow_pipeline", str(folder), str(store), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("kills", KILLS)
def test_killed_writers_leave_whole_entries_or_none(
    images: tuple[Path, Manifest, str], tmp_path: Path, kills: int
) -> None:
    folder, manifest, calm = images
    rng = random.Random(20)
    root = tmp_path / "store"
    before = 0
    for _ in range(kills):
        process = start(folder, root, seconds=0.0)
        time.sleep(rng.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = Store(root)
        entries = list(store.entries())
        assert all(store.get(e.stage, e.path.name.split(".")[0]) is not None for e in entries)
        assert not store.dropped
        assert len(entries) >= before
        before = len(entries)
    context = Context(manifest=manifest, samples=manifest.test, store=Store(root))
    assert digest(context, slow_stage(count=REGIONS)) == calm
    assert context.stats["slow"].computed == IMAGES - before


HEAVY = """
import sys
from pathlib import Path
import numpy as np
from benchmark.stages.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for i in range(4):
        store.put("heavy", f"{i:064x}", {"x": np.random.default_rng(i).random(500_000)})
"""


@pytest.mark.parametrize("kills", KILLS)
def test_a_writer_killed_inside_a_write_leaves_the_old_entry_or_the_new_one(tmp_path: Path, kills: int) -> None:
    rng = random.Random(21)
    halves = 0
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", HEAVY, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = Store(tmp_path)
        for i in range(4):
            back = store.get("heavy", f"{i:064x}")
            if back is not None:
                assert np.array_equal(back["x"], np.random.default_rng(i).random(500_000))  # type: ignore[arg-type]
        assert not store.dropped
        halves = sum(1 for _ in store.leftovers(older_than=0))
    # Files that a writer may still be working on are left alone; the same files are swept once they are old.
    assert prune(Store(tmp_path), stages=[], older=None, max_size=None, dry_run=False) == (0, 0)
    for entry in Store(tmp_path).leftovers(older_than=0):
        os.utime(entry.path, (1, 1))
    assert prune(Store(tmp_path), stages=[], older=None, max_size=None, dry_run=False)[0] == halves
    assert not list(Store(tmp_path).leftovers(older_than=0))


@pytest.mark.slow
def test_four_processes_fill_one_store(images: tuple[Path, Manifest, str], tmp_path: Path) -> None:
    folder, manifest, calm = images
    root = tmp_path / "store"
    processes = [start(folder, root, seconds=0.002) for _ in range(4)]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert {output[0] for output in outputs} == {calm}
    assert sum(1 for _ in Store(root).entries()) == IMAGES
    context = Context(manifest=manifest, samples=manifest.test, store=Store(root))
    assert digest(context, slow_stage(count=REGIONS)) == calm
    assert context.stats["slow"].computed == 0


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "swap"])
def test_damaged_entries_never_change_a_result(images: tuple[Path, Manifest, str], tmp_path: Path, damage: str) -> None:
    _, manifest, calm = images
    root = tmp_path / "store"
    rng = random.Random(5)
    assert (
        digest(Context(manifest=manifest, samples=manifest.test, store=Store(root)), slow_stage(count=REGIONS)) == calm
    )
    paths = sorted(entry.path for entry in Store(root).entries())
    hurt = rng.sample(paths, max(2, len(paths) // 20))
    contents = [path.read_bytes() for path in hurt]
    for i, path in enumerate(hurt):
        data = bytearray(contents[i])
        if damage == "truncate":
            del data[rng.randrange(1, len(data)) :]
        elif damage == "flip":
            data[rng.randrange(20, len(data) - 20)] ^= 1 << rng.randrange(8)
        elif damage == "empty":
            data.clear()
        else:
            data[:] = contents[(i + 1) % len(hurt)]
        path.write_bytes(data)
    context = Context(manifest=manifest, samples=manifest.test, store=Store(root))
    assert digest(context, slow_stage(count=REGIONS)) == calm
    stats = context.stats["slow"]
    assert (stats.dropped_corrupt, stats.computed, stats.reused) == (len(hurt), len(hurt), IMAGES - len(hurt))
