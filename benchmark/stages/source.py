"""The source of code outside this package, so that what it computed is not taken for what it computes now."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core.resources import PACKAGE

_LIBRARIES = tuple(
    {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def source_of(function: Callable[..., Any]) -> str | None:
    """Return a digest (hex) over the code that a function stands in; None for code of this package or a library.

    That is its module and the modules of the same author that it names, read without comments and layout: what is
    edited anywhere in them may change the result. This package's own stages say so by their version.
    """
    plain = _plain(function)
    module = sys.modules.get(plain.__module__)
    if plain.__module__.partition(".")[0] == PACKAGE.name:
        return None
    file = _own_file(module)
    if module is None or file is None:
        return None if _is_library(module) else _digest([inspect.getsource(plain)])
    return _of_module(module.__name__, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _of_module(name: str, _changed: int) -> str:
    return _digest([file.read_text(encoding="utf-8") for file in sorted(_closure(sys.modules[name]))])


def _closure(first: ModuleType) -> Iterator[Path]:
    """Files of a module and of all that it names, as far as they are their author's."""
    seen, waiting = set[str](), [first]
    while waiting:
        module = waiting.pop()
        file = _own_file(module)
        if module.__name__ in seen or file is None:
            continue
        seen.add(module.__name__)
        yield file
        for value in list(vars(module).values()):
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str) and isinstance(sys.modules.get(name), ModuleType):
                waiting.append(sys.modules[name])


def _plain(function: Any) -> Any:
    """The function or class behind partials, methods and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    return function if hasattr(function, "__qualname__") else type(function)


def _own_file(module: ModuleType | None) -> Path | None:
    """A module's source file, where it is neither this package's nor a library's."""
    found = getattr(module, "__file__", None)
    if found is None or not found.endswith(".py") or _is_library(module):
        return None
    return Path(found).resolve()


def _is_library(module: ModuleType | None) -> bool:
    if module is None or module.__name__ == "__main__":
        return False
    found = getattr(module, "__file__", None)
    if found is None:
        return True
    file = Path(found).resolve()
    return file.is_relative_to(PACKAGE) or any(file.is_relative_to(place) for place in _LIBRARIES)


def _digest(texts: list[str]) -> str:
    trees = [ast.dump(ast.parse(inspect.cleandoc(text))) for text in texts]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
