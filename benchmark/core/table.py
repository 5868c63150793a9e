"""One table, written as Markdown, CSV, LaTeX or on the terminal."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from benchmark.core.terminal import printable
from benchmark.core.text import counted

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$", "±": r"$\pm$", "×": r"$\times$",
    "≥": r"$\geq$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip

MOST_OF_A_WORD = 24
"""Characters after which a word of a text column may be broken: paths and commands are longer than any terminal."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?( \*)?|[-+]?(inf|nan)|-+")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text; a cell may have several lines."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Lines below the table."""
    left: frozenset[int] = field(default=frozenset({0}))
    """Columns that are aligned to the left; the others hold numbers."""
    marked: frozenset[int] = frozenset()
    """Rows that stand out on the terminal."""

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: a row of {counted(len(row), 'cell')} under "
                    f"{counted(len(self.columns), 'column')}"
                )


def markdown(grid: Grid) -> str:
    """Return the table as GitHub Markdown, with its title as a heading and its notes as a list."""
    rule = [" --- " if i in grid.left else " ---: " for i in range(len(grid.columns))]
    lines = [f"## {_markdown_cell(grid.title)}", "", _pipes(_markdown_cell(c) for c in grid.columns)]
    lines.append("|" + "|".join(rule) + "|")
    lines += [_pipes(_markdown_cell(c) for c in row) for row in grid.rows]
    if grid.notes:
        lines += ["", *(f"- {_markdown_cell(note)}" for note in grid.notes)]
    return "\n".join(lines) + "\n"


def csv_text(grid: Grid) -> str:
    """Return columns and rows as CSV, without title and notes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row] for row in (grid.columns, *grid.rows))
    return buffer.getvalue()


def csv_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, and no reader for two rows.

    One that begins like a formula, and is no number, gets an apostrophe in front; every end of a line is ``\\n``.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    begins = text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith("\t")
    return f"'{text}" if begins and not _NUMBER.fullmatch(text) else text


def latex(grid: Grid) -> str:
    """Return the table as a LaTeX table of the booktabs kind; cells of several lines need the package makecell."""
    spec = "".join("l" if i in grid.left else "r" for i in range(len(grid.columns)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_text(grid.title)}}}",
        rf"\begin{{tabular}}{{{spec}}}",
    ]
    lines += [r"\toprule", " & ".join(_latex_cell(c) for c in grid.columns) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex_cell(c) for c in row) + r" \\" for row in grid.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_latex_text(note)}" for note in grid.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def show(grid: Grid, *, width: int | None = None) -> None:
    """Print the table on the terminal, or as plain text where there is none; one that is too wide in several parts."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = _printable(grid)

    console = Console(width=width if width or Console().is_terminal else 150, highlight=False)
    for number, part in enumerate(parts(grid, console.width)):
        title = grid.title if number == 0 else f"{grid.title} (continued)"
        table = Table(title=escape(title), title_justify="left", header_style="bold", show_lines=_is_tall(grid))
        fits = 1 + sum(_needed(grid, i) for i in part) <= console.width
        for i in part:
            heading, rigid = grid.columns[i], fits and i not in grid.left  # only text gives way
            if rigid:
                heading = textwrap.fill(heading, _needed(grid, i) - 3, break_long_words=False, break_on_hyphens=False)
            justify: Literal["left", "right"] = "left" if i in grid.left else "right"
            table.add_column(escape(heading), justify=justify, overflow="fold", no_wrap=rigid)
        for at, row in enumerate(grid.rows):
            table.add_row(*(escape(row[i]) for i in part), style="bold" if at in grid.marked else None)
        console.print(table)
    for note in grid.notes:
        console.print(escape(note), soft_wrap=True)


def _printable(grid: Grid) -> Grid:
    """Return a table whose texts no terminal obeys."""
    shown = {name: tuple(map(printable, getattr(grid, name))) for name in ("columns", "notes")}
    rows = tuple(tuple(map(printable, row)) for row in grid.rows)
    return replace(grid, title=printable(grid.title), rows=rows, **shown)  # type: ignore[arg-type]


def parts(grid: Grid, width: int) -> list[tuple[int, ...]]:
    """Return which columns are printed together, so that no number and no word of a heading is broken.

    Text columns at the left of the table are repeated in every part; other text wraps.

    Args:
        grid: the table.
        width: of the terminal, in characters.
    """
    keys: list[int] = []
    while len(keys) in grid.left and len(keys) < len(grid.columns):
        keys.append(len(keys))
    if len(keys) == len(grid.columns):
        return [tuple(keys)]
    free = width - 1 - sum(_needed(grid, i) for i in keys)
    found: list[list[int]] = [[]]
    used = 0
    for i in range(len(keys), len(grid.columns)):
        needed = _needed(grid, i)
        if found[-1] and used + needed > free:
            found.append([])
            used = 0
        found[-1].append(i)
        used += needed
    return [(*keys, *part) for part in found]


def _needed(grid: Grid, column: int) -> int:
    """Characters that a column takes with its frame: the longest line of numbers, or word of a text or heading."""
    text = "\n".join(row[column] for row in grid.rows)
    longest = max((len(word) for word in grid.columns[column].split()), default=0)
    if column in grid.left:
        return 3 + min(MOST_OF_A_WORD, max([longest, *(len(word) for word in text.split())]))
    return 3 + max([longest, *(len(line) for line in text.split("\n"))])


def _is_tall(grid: Grid) -> bool:
    return any("\n" in cell for row in grid.rows for cell in row)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(text: str) -> str:
    # names of files and answers of models may hold markup; they are shown, never rendered
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return safe.replace("](", "]\\(").replace("\n", "<br>")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def _latex_cell(text: str) -> str:
    if "\n" not in text:
        return _latex_text(text)
    return r"\makecell{" + r" \\ ".join(_latex_text(line) for line in text.split("\n")) + "}"
