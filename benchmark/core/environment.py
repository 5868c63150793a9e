"""Variables of the environment that one part of a command tells another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def variable_kept(name: str) -> Iterator[None]:
    """Put a variable back as it was: a run tells its parts by it, which the next one must not hear."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
