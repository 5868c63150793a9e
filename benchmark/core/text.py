"""Texts that any file and terminal can take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_HALF = re.compile(r"[\ud800-\udfff]")


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: half characters are written as ``\udce9``; all else stays as it is.

    Such a half is a byte of a file's name that is no UTF-8 (``caf\xe9.png`` written in Latin-1, PEP 383), or one half
    of an emoji that a language model was cut off in.
    """
    return text if text.isascii() else _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def counted(number: int | str, one: str, several: str = "") -> str:
    """Return ``1 image``, ``2 images``, ``1,200 images``.

    Args:
        number: how many; text is taken as it is (``1,200``, ``10 of 263``), and its last word counts.
        one: what there is one of.
        several: what there are several of, where an s at the end does not do (``categories``, ``entries have``).
    """
    single = str(number).rpartition(" ")[2] == "1"
    return f"{number} {one if single else several or one + 's'}"


def shown_bytes(size: float) -> str:
    """Return ``999 B``, ``1.5 GB``: bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON values (mappings, lists, texts, numbers) with ``change`` on every text, those of keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(k)): each_text(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [each_text(v, change) for v in value]
    return value
