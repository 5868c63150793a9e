"""A stage of the user's own code is another one when that code is edited."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmark.stages.source import source_of
from benchmark.stages.stage import Stage

FILES = {
    "own_helper.py": "SCALE = 2\n\ndef scaled(x):\n    return x * SCALE\n",
    "own_part.py": """from own_helper import scaled


def compute(inputs):
    # as it is
    return [scaled(1)]


class Part:
    def __call__(self, inputs):
        return []

    def method(self, inputs):
        return []
""",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Writes the files with some text replaced, and imports them anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(old: str = "", new: str = "") -> ModuleType:
        for name, text in FILES.items():
            (tmp_path / name).write_text(text.replace(old, new) if old else text)
            sys.modules.pop(Path(name).stem, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return importlib.import_module("own_part")

    yield write
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def fingerprint(compute: Any) -> str:
    return Stage(name="own", version=1, settings={}, compute=compute).fingerprint


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("", "", True),
        ("# as it is", "# as it was", True),
        ("    return [scaled(1)]", "    return   [ scaled(1) ]", True),
        ("scaled(1)", "scaled(2)", False),
        ("SCALE = 2", "SCALE = 3", False),
        ("x * SCALE", "x + SCALE", False),
    ],
)
def test_what_is_edited_anywhere_in_its_modules_counts(own: Any, old: str, new: str, *, same: bool) -> None:
    before = fingerprint(own().compute)
    assert (fingerprint(own(old, new).compute) == before) is same


@pytest.mark.parametrize("form", ["partial", "object", "method", "closure"])
def test_every_form_of_a_callable_is_known(own: Any, form: str) -> None:
    def made(module: ModuleType) -> Any:
        forms = {
            "partial": functools.partial(module.compute),
            "object": module.Part(),
            "method": module.Part().method,
            "closure": functools.wraps(module.compute)(lambda inputs: module.compute(inputs)),
        }
        return forms[form]

    before = fingerprint(made(own()))
    assert fingerprint(made(own("scaled(1)", "scaled(2)"))) != before


def test_stages_of_this_package_go_by_their_version() -> None:
    from benchmark.models import musc

    assert source_of(musc.mutual_scores) is None
    assert source_of(functools.partial(musc.mutual_scores)) is None
    assert source_of(len) is None
