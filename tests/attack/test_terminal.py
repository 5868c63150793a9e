"""Attacks on a terminal by names of files, labels and answers of models: they are shown and never obeyed."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli.main import main
from benchmark.core.commands import reporting
from benchmark.core.errors import ConfigError
from benchmark.core.table import Grid, show
from benchmark.core.terminal import Shown, careful_outputs, literal, printable, terminal

ESCAPES = [
    "\x1b[2J", "\x1b[1A\x1b[2K", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x9b2J", "\x1bc",
    "\b\b\b", "\x07", "\x7f", "\x85", "\u202egnp.exe", "\u2066", "\u2028", "\x00", "\x1b[6n", "\x1bP+q\x1b\\",
]  # fmt: skip


@pytest.fixture(autouse=True)
def hook_given_back() -> Iterator[None]:
    """A program sets the hook of its process."""
    before = sys.excepthook
    yield
    sys.excepthook = before


def obeyed(text: str) -> list[str]:
    """Characters that steer a terminal."""
    return [c for c in text if (not c.isprintable() and c not in "\n\t") or c in "\u2028\u2029"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_print_log_error_or_table_steers_the_terminal(escape: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a{escape}b"

    @reporting
    def program() -> int:
        print(text)
        print(text, file=sys.stderr)
        logging.getLogger("x").warning(text)
        show(Grid(title=text, columns=(text, "b"), rows=((text, text),), notes=(text,)))
        raise ConfigError(text)

    assert program() == 1
    sys.excepthook(ValueError, ValueError(text), None)
    said = capsys.readouterr()
    assert obeyed(said.out) == [] == obeyed(said.err)
    assert said.out.count("a\\") >= 3 and "error: a\\" in said.err


@given(st.text())
def test_any_text_is_shown(text: str) -> None:
    assert obeyed(printable(text).encode(errors="backslashreplace").decode()) in ([], [c for c in text if _other(c)])
    raw = io.StringIO()
    stream = Shown(raw)
    assert stream.write(text) == len(text)
    assert "\x1b" not in raw.getvalue()
    plain = "".join(c for c in text if c.isprintable())
    assert printable(plain) == plain


def _other(character: str) -> bool:
    """Not printable for Python, and nothing to a terminal: unassigned, private, other spaces and format marks."""
    return bool(obeyed(character)) and printable(character) == character


def test_colours_pass_to_a_terminal_alone_and_cursor_moves_never() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, colour in ((Screen(), "\x1b[1;31m"), (io.StringIO(), "\\x1b[1;31m")):
        Shown(stream).write("\x1b[1;31mred\x1b[0m\x1b[2J\r")
        assert stream.getvalue().startswith(f"{colour}red") and "\x1b[2J" not in stream.getvalue()
    assert literal("[bold]\x1b[31m") == "\\[bold]\\x1b[31m"


def test_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyError), careful_outputs(), careful_outputs():
        assert isinstance(sys.stdout, Shown) and not isinstance(terminal(sys.stdout), Shown)
        assert sys.stdout.encoding == before[0].encoding
        raise KeyError
    assert (sys.stdout, sys.stderr) == before


def test_an_own_folder_with_hostile_names_is_run_listed_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from PIL import Image

    root = tmp_path / "own" / "part\x1b[2J"
    for place in ("train/good", "test/good", "test/bad\x1b]0;x\x07"):
        (root / place).mkdir(parents=True)
        for k in range(3):
            pixels = np.full((16, 16), 40 * k + 10 * len(place), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{k}\x1b[1A\u202e.png")
    words = ["dataset=folder", f"dataset.path={tmp_path / 'own'}", f"run.data_root={tmp_path}", "tracking=none",
             f"run.results_root={tmp_path / 'results'}", f"run.cache_root={tmp_path / 'cache'}"]  # fmt: skip
    status = main([*words, "pipeline=reference_difference", "run.gallery=0"])
    said = capsys.readouterr()
    assert status in (0, 1) and obeyed(said.out) == [] == obeyed(said.err)
    assert "\\x1b[2J" in said.out + said.err
