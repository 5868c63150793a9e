"""Memory that ran out: what was needed, what there is, and how to need less."""

from __future__ import annotations

import re
import resource
import sys

from benchmark.core.text import shown_bytes

_SAYS_SO = ("out of memory", "can't allocate memory", "insufficient memory", "cannot allocate memory", "bad_alloc")
_AMOUNT = re.compile(r"(?:allocat\w*|tried to allocate)\s+(\d[\d.]*)\s*(bytes|[KMGT]i?B)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> str | None:
    """Return what to tell of an error that says that there is no memory (Python's, NumPy's, PyTorch's, OpenCV's).

    Returns:
        what was asked for where the error says it, what this process holds at most so far, and which settings need
        less; None where it is another error.
    """
    text = str(error)
    if not isinstance(error, MemoryError) and not any(words in text.casefold() for words in _SAYS_SO):
        return None
    asked = _AMOUNT.search(text)
    needed = f": {_readable(float(asked[1]), asked[2])} more were needed" if asked else ""
    on_gpu = "cuda" in text.casefold() or type(error).__name__ == "OutOfMemoryError"
    if on_gpu:
        return f"the GPU is out of memory{needed}; {LESS}, or run on the processor with run.device=cpu"
    return f"out of memory{needed}, and this process holds {_held() / 1e9:.1f} GB; run.workers=0, or {LESS}"


LESS = (
    "a smaller run.batch_size or pipeline.batch_size, image side or memory of patches needs less where the pipeline "
    "has one (run --help pipeline=NAME lists its keys), smaller images and run.limit=N too; what is stored already is "
    "not computed again"
)


def _held() -> int:
    """Most bytes that this process had in memory at one time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _readable(number: float, unit: str) -> str:
    return shown_bytes(number) if unit == "bytes" else f"{number:g} {unit}"
