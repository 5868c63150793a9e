"""A whole run over a store at an address: killed in the middle, resumed on another machine, and again on a third."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmark.stages.opening import StorePlace
from tests.harness import ROOT, SMALL_SAT, command, places, run

WORDS = (
    f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]",
    *(*SMALL_SAT, "dataset.n_good=30", "dataset.n_defective=30", "pipeline=slow_regions"),
)


def killed_and_resumed(folder: Path, address: str, *, secret: str | None = None) -> None:
    """Check that nothing stored is computed twice, that digests equal that of a folder, and that no secret is told.

    Args:
        folder: for results and copies.
        address: an empty store.
        secret: of the environment, if the place takes one.
    """
    calm = run(folder / "calm", *WORDS)
    store = StorePlace(root=address, local=folder / "watcher").open()
    killed = ["pipeline.seconds=0.1", f"run.cache_root={address}", f"run.cache_local={folder / 'killed' / 'local'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *places(folder / "killed"), *WORDS, *killed],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while sum(1 for _ in store.entries("slow")) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = sum(1 for _ in store.entries("slow"))
    assert 3 <= kept < 60
    assert not list((folder / "killed" / "results").glob("runs/*/result.json"))
    for name, computed in (("resumed", 60 - kept), ("again", 0)):
        local = f"run.cache_local={folder / name / 'local'}"
        done = run(folder / name, *WORDS, f"run.cache_root={address}", local)
        assert done.result.digest == calm.result.digest
        assert done.result.measured.samples_computed["slow"] == computed
        assert done.result.measured.samples_reused["slow"] == 60 - computed
        text = (done.folder / "result.json").read_text()
        assert address in text
        assert secret is None or secret not in text
    (folder / "dry").mkdir()
    told = command("dry_run", *WORDS, f"run.cache_root={address}", folder=folder / "dry", cold=True)
    assert "stage slow: 60 of 60 images stored already" in told.stdout
    assert secret is None or secret not in told.stdout + told.stderr
