"""A reply as it came, kept before it is understood, and read without ever failing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from benchmark.chat.json_objects import read_json
from benchmark.core.secrets import without_keys
from benchmark.core.text import encodable

Reply = str | dict[str, Any]
"""The body of a reply as text; earlier versions kept the JSON object in it."""


class Unreadable(Exception):
    """A reply that is JSON, but more than can be read here (nested too deeply, a number of thousands of digits)."""


def body_text(body: bytes | str) -> str:
    r"""Return the text under which a body is kept: without keys, and what is no UTF-8 as ``\udcff``.

    In JSON that is the escape of the very half character that Python reads such a byte as, so nothing is lost.
    """
    text = body if isinstance(body, str) else body.decode("utf-8", errors="surrogateescape")
    return without_keys(encodable(text))


def object_in(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of a reply; empty where it holds none.

    Raises:
        Unreadable: it holds one that cannot be read.
    """
    if not isinstance(reply, str):
        return reply
    try:
        found = read_json(reply)
    except json.JSONDecodeError:
        return {}
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return found if isinstance(found, dict) else {}


def part(values: Any, *names: str) -> Any:
    """Return the value under the first of some names that a mapping has; None where there is none, or no mapping."""
    if isinstance(values, Mapping):
        return next((values[name] for name in names if values.get(name) is not None), None)
    return None


def first(values: Any) -> Any:
    """Return the first element of a list; None where there is none, or no list."""
    return values[0] if isinstance(values, list) and values else None


def items(values: Any) -> list[Any]:
    """Return a list; empty for all else."""
    return values if isinstance(values, list) else []


def word(value: Any) -> str | None:
    """Return a text that can be written; None for everything that is not a text."""
    return encodable(value) if isinstance(value, str) else None


def number(value: Any) -> int:
    """Return a count of tokens; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return min(max(0, int(value)), 10**12)


def joined(content: Any) -> str | None:
    """Return the text of a message whose content is a text, or a list of parts of which some are texts.

    Parts that a model thought aloud in (``thought``, or of a type such as ``reasoning``) are left out.
    """
    if isinstance(content, list):
        texts = [piece for each in content if (piece := _piece(each)) is not None]
        return "".join(texts) if texts else None
    return _piece(content)


def _piece(value: Any) -> str | None:
    if isinstance(value, Mapping):
        if part(value, "thought") or part(value, "type") not in (None, "text", "output_text"):
            return None
        inner = part(value, "text")
        return word(part(inner, "value") if isinstance(inner, Mapping) else inner)
    return word(value)
