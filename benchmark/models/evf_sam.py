"""EVF-SAM through a user's own checkout: another process, in the environment that the checkout needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError
from benchmark.models.runtime import Precision
from benchmark.weights.digests import file_digests

WORKER = Path(__file__).with_name("evf_sam_worker.py")
SOURCE = "model/evf_sam.py"
"""File that tells a checkout of hustvl/EVF-SAM."""
WEIGHTS = ("config.json", "*.safetensors", "*.bin", "*.model")
HOW = (
    "clone hustvl/EVF-SAM, make an environment from its requirements.txt, get the weights YxZhang/evf-sam, and give "
    "pipeline.checkout=…, pipeline.python=… (that environment's interpreter) and pipeline.weights=… (the folder)"
)


def check_checkout(checkout: Path | None, python: Path | None) -> tuple[Path, Path]:
    """Return both when they are there.

    Raises:
        ConfigError: one is not given or not there; the message says how to get it.
    """
    if checkout is None or not (checkout / SOURCE).is_file():
        raise ConfigError(
            f"pipeline.checkout={checkout}: there is no {SOURCE}; EVF-SAM is not part of this package: {HOW}"
        )
    if python is None or not python.is_file():
        raise ConfigError(f"pipeline.python={python}: there is no such interpreter; {HOW}")
    # Resolved no further: an environment's interpreter is a link, and is told by its own place.
    return checkout.absolute(), python.absolute()


def weights_digest(folder: Path | None) -> tuple[Path, str]:
    """Return the folder of the weights and a digest (hex) over its files' names and contents.

    Raises:
        WeightsError: there are no weights.
    """
    where = Path() if folder is None else folder
    files = [] if folder is None else sorted({file for pattern in WEIGHTS for file in where.glob(pattern)})
    if not any(file.suffix in (".safetensors", ".bin") for file in files):
        raise WeightsError(f"pipeline.weights={folder}: no EVF-SAM weights there; {HOW}")
    digests = [(file.name, file_digests(file)[0]) for file in files]
    return where.absolute(), hashlib.sha256(repr(digests).encode()).hexdigest()


def code_digest(checkout: Path) -> str:
    """Return a digest (hex) over the Python files of a checkout's ``model`` folder."""
    digest = hashlib.sha256()
    for file in sorted((checkout / "model").rglob("*.py")):
        digest.update(file.relative_to(checkout).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class EvfSam:
    """A running EVF-SAM; it is started at once, and ends with this object.

    Args:
        checkout: folder of a checkout of hustvl/EVF-SAM.
        python: interpreter of the environment that it needs.
        weights: folder with config, tokenizer and weights.
        device: torch device name.
        semantic: put "[semantic] " before texts, as the multitask weights want it.

    Raises:
        BenchmarkError: it does not start; the end of what it said is given.
    """

    def __init__(
        self, *, checkout: Path, python: Path, weights: Path, device: str, precision: Precision, semantic: bool
    ) -> None:
        self._words = [str(python), str(WORKER), str(weights), device, precision, "true" if semantic else "false"]
        self._folder = tempfile.TemporaryDirectory(prefix="evf_sam_")
        self._stderr: IO[str] = (Path(self._folder.name) / "stderr.txt").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            self._words,
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._end = weakref.finalize(self, _end, self._process, self._stderr, self._folder)
        self._wait("start")

    def logits(self, image: NDArray[np.uint8], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of each text's mask, (N, H, W) float32, for an image, (H, W, 3) RGB.

        Raises:
            BenchmarkError: the process ended or failed; the end of what it said is given.
        """
        asked, answer = (Path(self._folder.name) / name for name in ("image.npy", "answer.npy"))
        np.save(asked, np.ascontiguousarray(image))
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it said tells more
            self._process.stdin.write(
                json.dumps({"image": str(asked), "texts": list(texts), "answer": str(answer)}) + "\n"
            )
            self._process.stdin.flush()
        self._wait("answer")
        found = np.load(answer, allow_pickle=False)
        if found.shape != (len(texts), *image.shape[:2]):
            raise BenchmarkError(
                f"EVF-SAM answered {found.shape} for {len(texts)} texts on an image of {image.shape[:2]}"
            )
        return np.asarray(found, dtype=np.float32)

    def close(self) -> None:
        """End the process."""
        self._end()

    def _wait(self, what: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.strip() != json.dumps({"ok": True}):
            self._process.wait()
            self._stderr.seek(0)
            last = self._stderr.read().strip().splitlines()[-5:]
            told = "\n  ".join(last) or "nothing"
            raise BenchmarkError(
                f"EVF-SAM did not {what}; its process ({self._words[0]}) ended with {self._process.returncode} "
                f"and said:\n  {told}\ntry the checkout's own inference.py in that environment first"
            )


def _end(process: subprocess.Popen[str], stderr: IO[str], folder: tempfile.TemporaryDirectory[str]) -> None:
    """Let a worker end by itself, or else kill it, and remove what it wrote."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    stderr.close()
    folder.cleanup()
