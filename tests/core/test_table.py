"""Tables on a terminal: no number and no heading is broken, however narrow it is."""

from __future__ import annotations

import pytest

from benchmark.core.table import Grid, parts, show


def wide(columns: int, cell: str = "12.34 [10.00, 14.00]") -> Grid:
    heads = ("method", *(f"dataset {i}, max-F1" for i in range(columns)))
    return Grid(title="wide", columns=heads, rows=(("first method", *[cell] * columns), ("other", *[cell] * columns)))


@pytest.mark.parametrize("width", [60, 80, 100, 150, 200])
def test_a_table_too_wide_for_the_terminal_comes_in_parts(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    show(wide(15), width=width)
    out = capsys.readouterr().out
    assert out.count("12.34 [10.00, 14.00]") == 30
    assert max(len(line) for line in out.splitlines()) <= width
    assert out.count("first") == len(parts(wide(15), width)) == out.count("wide") > 1


def test_a_table_that_fits_is_one() -> None:
    assert parts(wide(3), 150) == [(0, 1, 2, 3)]
    assert parts(Grid(title="t", columns=("a", "b"), rows=(), left=frozenset({0, 1})), 80) == [(0, 1)]


def test_text_wraps_and_parts_nothing() -> None:
    rows = (("ap", "0.5", "a long remark " * 20),)
    grid = Grid(title="t", columns=("metric", "value", "remark"), rows=rows, left=frozenset({0, 2}))
    assert parts(grid, 60) == [(0, 1, 2)]
    path = (("ap", "0.5", "/a/very/long/path" * 20),)
    assert parts(Grid(title="t", columns=grid.columns, rows=path, left=grid.left), 60) == [(0, 1, 2)]


def test_every_column_stands_once_even_where_none_fits() -> None:
    found = parts(wide(4), 10)
    assert [part[0] for part in found] == [0] * len(found)
    assert [i for part in found for i in part[1:]] == [1, 2, 3, 4]
