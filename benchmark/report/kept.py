"""What the report makes of a run, kept until the run or the code that makes it changes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core.addresses import cache_folder
from benchmark.core.atomic import replacing


def kept(make: Callable[[str], Any], *, of: Sequence[Path | str], by: Sequence[ModuleType]) -> Any:
    """Return what ``make`` returns, from the cache folder (``BENCH_CACHE``) where it was made before.

    A note that is damaged is made anew; a cache that cannot be written costs only time.

    Args:
        make: given a name that no other note has; returns JSON values.
        of: files and texts that it is made of.
        by: modules whose code decides what is made.
    """
    name = _digest(of, tuple(by))
    note = cache_folder() / "report" / f"{name}.json"
    with contextlib.suppress(OSError):
        checksum, _, content = note.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == checksum:
            return json.loads(content)
    value = make(name[:16])
    content = json.dumps(value).encode()
    with contextlib.suppress(OSError), replacing(note) as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return value


def _digest(of: Sequence[Path | str], by: tuple[ModuleType, ...]) -> str:
    found = hashlib.sha256(_code(by))
    for part in of:
        content = part.read_bytes() if isinstance(part, Path) else part.encode(errors="surrogatepass")
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:32]


@functools.cache
def _code(by: tuple[ModuleType, ...]) -> bytes:
    return b"\0".join(Path(str(module.__file__)).read_bytes() for module in by)
