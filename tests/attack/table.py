"""The table of attacks: ``python -m tests.attack.table`` collects the tests and writes README.md anew."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = HERE / "README.md"
HEAD = """\
# Attacks

What was tried to lose results, money or secrets, or to block a run for ever, one file a kind. A case is a test with
one set of parameters; many hold hundreds of tries (flipped bits, kills, generated texts) and count once. A case
survived if its test passes; known gaps would be tests that are expected to fail. `-m "not slow"` leaves slow cases out.

Others stand beside what they attack: kills of runs (`tests/running/test_faults.py`), the stage store
(`tests/stages/test_store_faults.py`), replies of any bytes (`tests/chat/test_replies.py`,
`tests/pipelines/vlm/test_kept_replies.py`), secrets in any values (`tests/core/test_secrets.py`), odd samples and
names (`tests/data/test_left_out.py`, `tests/running/test_odd_names.py`).

The table is written by `python -m tests.attack.table`, and a test keeps it true.

| kind | file | tried | survived | slow, tried | slow, survived |
| --- | --- | ---: | ---: | ---: | ---: |
"""
Counts = Counter[tuple[str, bool, bool]]
"""How many cases there are by (file, slow, survived)."""


def files() -> list[str]:
    """Names of the files with attacks."""
    return sorted(path.name for path in HERE.glob("test_*.py") if path.name != "test_table.py")


def count(items: Iterable[pytest.Item]) -> Counts:
    """Count the cases among collected tests."""
    return Counter(
        (item.path.name, item.get_closest_marker("slow") is not None, item.get_closest_marker("xfail") is None)
        for item in items
        if item.path.parent == HERE and item.path.name in files()
    )


def row(name: str, counts: Counts) -> str:
    """Return the line of one file."""
    text = ast.get_docstring(ast.parse((HERE / name).read_text(encoding="utf-8"))) or ""
    kind = text.partition("\n")[0].removeprefix("Attacks ").rstrip(".")
    numbers = [n for slow in (False, True) for n in _cells(name, counts, slow=slow)]
    return "| " + " | ".join([kind, f"`{name}`", *map(str, numbers)]) + " |"


def _cells(name: str, counts: Counts, *, slow: bool) -> tuple[int, int]:
    survived = counts[name, slow, True]
    return survived + counts[name, slow, False], survived


def main() -> None:
    """Collect and write."""
    found: list[pytest.Item] = []

    class Collects:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            found.extend(session.items)

    pytest.main(["--collect-only", "-qq", "-n", "0", str(HERE)], plugins=[Collects()])
    counts = count(found)
    README.write_text(HEAD + "".join(f"{row(name, counts)}\n" for name in files()), encoding="utf-8")


if __name__ == "__main__":
    main()
