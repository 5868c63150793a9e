"""The console command ``fm-defect-bench``: hands its words to Hydra or to a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmark.cli import OVERRIDES
from benchmark.commands import reporting


@reporting
def main(words: Sequence[str]) -> int:
    """Carry out one command line and return its exit status: 1 for what went wrong, 2 where it cannot be read.

    Args:
        words: a command and its words, without the name of the program; overrides alone are a run.
    """
    first, *rest = words or ("",)
    if first in OVERRIDES:
        from benchmark.cli.run import run

        return run(["-m", *rest] if first == "sweep" else rest)
    if first in ("-m", "--multirun") or ("=" in first and not first.startswith("-")):
        return main(["run", *words])

    from benchmark.cli.commands import call

    return call(words)


def console() -> None:
    """Be the program ``fm-defect-bench``."""
    sys.exit(main(sys.argv[1:]))
