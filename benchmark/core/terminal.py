"""What reaches a terminal: texts of files and models cannot move its cursor, ring, or write over what stands there."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROLS}\r]")
_COLOURS = re.compile(rf"(\x1b\[[0-9;]*m)|([{_CONTROLS}])")
"""Colours and bold type, which help pages and tables have; and what else a terminal would obey."""


def printable(text: str) -> str:
    r"""Return a text as one that a terminal shows and never obeys: control characters as ``\x1b``, marks as ``\u202e``.

    Those are C0 and C1 but for tab and newline, the separators of lines and paragraphs, and marks of direction, with
    which one name looks like another.
    """
    return _UNSAFE.sub(_escape, text)


def literal(text: str) -> str:
    """Return a text as rich shows it as it is: no markup, and ``printable``."""
    from rich.markup import escape

    return escape(printable(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _coloured(match: re.Match[str]) -> str:
    return match[1] or _escape(match)


def _plain(match: re.Match[str]) -> str:
    return f"\\x1b{match[1][1:]}" if match[1] else _escape(match)


class Shown:
    """A stream that shows what it is given; on a terminal, colours and the return of bars pass as they are."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        """Without that care: for bars that move the cursor."""
        self._colours = stream.isatty()

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        self.stream.write(_COLOURS.sub(_coloured if self._colours else _plain, text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def terminal(stream: TextIO) -> TextIO:
    """Return the stream itself, for a bar that moves the cursor; its texts have to be ``printable``."""
    return stream.stream if isinstance(stream, Shown) else stream


@contextlib.contextmanager
def careful_outputs() -> Iterator[None]:
    """Let everything that is printed in the block be shown and not obeyed, whatever an encoding lacks included."""
    before = sys.stdout, sys.stderr
    for stream in before:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (cast(TextIO, Shown(terminal(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
