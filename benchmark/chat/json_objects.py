"""JSON objects found in the text of a language model, in time that grows with its length alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|(\[/?THINK\])", re.IGNORECASE)
_TOKEN = re.compile(r'[{}]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
DEEPEST = 32
"""An object with more objects inside each other is no answer."""
DEEPEST_VALUE = 200
"""Lists and objects inside each other that are read: how many Python itself can read differs by its version."""
_TOO_DEEP = f"nested more than {DEEPEST_VALUE} deep"
LAST_TRIED = 64
"""So many opening braces from the end are tried where the text around them upsets the search."""


def without_thinking(text: str) -> str:
    """Return what a text says outside of ``<think>…</think>`` and its like.

    A closing tag without an opening one ends thinking that began before the text; an opening one without a closing one
    begins thinking that was cut off.
    """
    kept: list[str] = []
    depth = start = 0
    for tag in _TAG.finditer(text):
        closing = tag[1] == "/" or (tag[2] or "").startswith("[/")
        if not closing:
            if not depth:
                kept.append(text[start : tag.start()])
            depth += 1
        elif depth:
            depth -= 1
        else:
            kept.clear()
        start = tag.end()
    return "".join(kept) if depth else "".join([*kept, text[start:]])


def read_json(text: str) -> Any:
    """Read a JSON text.

    Raises:
        json.JSONDecodeError: it is none.
        ValueError: it is nested too deeply, or a number in it has too many digits.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _shallow(value)


def _shallow(value: Any) -> Any:
    level = [value]
    for _ in range(DEEPEST_VALUE):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


@dataclass
class _Span:
    start: int
    end: int = 0
    height: int = 1
    inner: list[_Span] = field(default_factory=list)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text that stand in no other one, in order."""
    found = False
    for span in _spans(text):
        for made in _read(text, span):
            found = True
            yield made
    if not found:
        yield from _last(text)


def _spans(text: str) -> list[_Span]:
    """Match braces; quotes count inside of braces only, as words around an object may hold single ones."""
    top, stack = _Span(0), list[_Span]()
    at = text.find("{")
    while at >= 0:
        token = _TOKEN.search(text, at) if stack else _TOKEN.match(text, at)
        if token is None:
            break
        if token[0] == "{":
            stack.append(_Span(token.start()))
        elif token[0] == "}":
            closed = stack.pop()
            closed.end = token.end()
            outer = stack[-1] if stack else top
            outer.inner.append(closed)
            outer.height = max(outer.height, closed.height + 1)
        at = token.end() if stack else text.find("{", token.end())
    for unclosed in stack:
        top.inner += unclosed.inner
    return sorted(top.inner, key=lambda span: span.start)


def _read(text: str, span: _Span) -> Iterator[dict[str, Any]]:
    """Read the outermost objects of a span; one that cannot be read may still hold some."""
    pending = [span]
    while pending:
        one = pending.pop()
        if one.height <= DEEPEST:
            try:
                found = read_json(text[one.start : one.end])
            except ValueError:
                found = None
            if isinstance(found, dict):
                yield found
                continue
        pending += reversed(one.inner)


def _last(text: str) -> Iterator[dict[str, Any]]:
    """Try the last opening braces one by one, for objects behind a brace or quote that was never closed."""
    starts = [found.start() for found in re.finditer(r"\{", text)][-LAST_TRIED:]
    decoder, end = json.JSONDecoder(), 0
    for start in starts:
        if start < end:
            continue
        try:
            found, end = decoder.raw_decode(text, start)
            _shallow(found)
        except (ValueError, RecursionError):
            continue
        yield found
