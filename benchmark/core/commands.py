"""How the programs of the command line end."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from benchmark.core.errors import BenchmarkError
from benchmark.core.exhausted import out_of_memory
from benchmark.core.secrets import redact, redact_outputs
from benchmark.core.terminal import careful_outputs

P = ParamSpec("P")


def fail(message: str, *, status: int = 1) -> int:
    """Print an error without credentials to standard error; returns the exit status."""
    print(f"error: {redact(message)}", file=sys.stderr)
    return status


def reporting(main: Callable[P, int]) -> Callable[P, int]:
    """Let a program end with one message instead of a traceback where the user can fix what went wrong.

    Neither messages nor tracebacks nor logs show a key or a password, and nothing printed steers the terminal.
    """

    @functools.wraps(main)
    def reported(*args: P.args, **kwargs: P.kwargs) -> int:
        redact_outputs()
        with careful_outputs():
            try:
                return main(*args, **kwargs)
            except BenchmarkError as error:
                return fail(str(error))
            except KeyboardInterrupt:
                return fail("interrupted", status=130)
            except Exception as error:
                message = out_of_memory(error)
                if message is None:
                    raise
                return fail(message)

    return reported
