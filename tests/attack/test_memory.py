"""Memory that runs out: the message says what was needed and which settings need less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import BenchmarkError, told
from benchmark.core.exhausted import out_of_memory
from benchmark.running import run as running
from tests.harness import ROOT, SMALL_SAT, places, run

ERRORS = {
    "Python": (MemoryError(), ""),
    "NumPy": (MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,)"), "7.45 GiB"),
    "PyTorch": (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate "
                             "4000000000 bytes. Error code 12 (Cannot allocate memory)"), "4.0 GB"),
    "a GPU": (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 8 GiB"), "2 GiB"),
    "OpenCV": (RuntimeError("(-4:Insufficient memory) Failed to allocate 300000000 bytes"), "300.0 MB"),
    "C++": (RuntimeError("std::bad_alloc"), ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS)
def test_each_library_is_understood(kind: str) -> None:
    error, needed = ERRORS[kind]
    message = out_of_memory(error)
    assert message is not None and needed in message and "pipeline.batch_size" in message and "\n" not in message
    assert ("run.device=cpu" in message) == (kind == "a GPU")
    assert message in told(error)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("shapes differ"), OSError(28, "No space left")])
def test_other_errors_are_left(error: Exception) -> None:
    assert out_of_memory(error) is None and type(error).__name__ in told(error)


@pytest.mark.parametrize("kind", ["Python", "PyTorch"])
def test_a_run_and_a_sweep_say_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ERRORS[kind][0]

    monkeypatch.setattr(running, "evaluate", full)
    words = [*SMALL_SAT, "pipeline=constant", *places(tmp_path)]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: out of memory") and "Traceback" not in said and said.count("\n") == 1
    assert main(["-m", *words, "run.seed=0,1"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    records = [json.loads(p.read_text()) for p in (tmp_path / "results").rglob("points/*.json")]
    assert len(records) == 2 and all(r["message"].startswith("out of memory") for r in records)


def test_a_stage_without_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.pipelines.reference_difference import ReferenceDifference

    run(tmp_path, *SMALL_SAT, "pipeline=constant")  # indexes the data

    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 7.45 GiB for an array")

    monkeypatch.setattr(ReferenceDifference, "_median", full)
    with pytest.raises(BenchmarkError, match=r"failed: out of memory: 7\.45 GiB more were needed"):
        run(tmp_path, *SMALL_SAT, "pipeline=reference_difference", "run.gallery=0")


@pytest.mark.slow
def test_a_process_whose_memory_is_limited_ends_with_one_line() -> None:
    code = (
        "import resource, sys\nfrom benchmark.core.commands import reporting\nimport numpy as np\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "sys.exit(reporting(lambda: int(np.ones(1 << 30).sum()))())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: out of memory: 8 GiB more were needed")
