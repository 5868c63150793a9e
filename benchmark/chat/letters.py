"""From a model's text to the letter of an option: any text has an outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.chat.json_objects import json_objects, without_thinking
from benchmark.chat.verdict import Reading
from benchmark.core.samples import Outcome

FIELDS = ("answer", "letter", "choice", "option")
"""Fields of a JSON object that hold a letter."""
LONGEST = 100_000
"""Characters of an answer that are looked through, from its end."""
_ONLY = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
_NAMED = re.compile(
    r"""(?i:\b(?:answer|option|choice)\b)(?i:\s{1,3}is)?\s{0,3}[:=]?[\s*_"'(\[{\\]{0,6}([A-Z])(?![\w'’])"""
)
_BEGINS = re.compile(r"^[ \t*_(\[]{0,6}([A-Z])[*_]{0,3}[.):\]]", re.MULTILINE)
_ALONE = re.compile(r"(?<![\w'’])([A-Z])(?![\w'’])(?!\s{1,3}[a-z])")
_ARTICLES = re.compile(r"(?<![\w'’])([B-Z])(?![\w'’])")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What one reply to a multiple-choice question says."""

    outcome: Outcome
    status: str
    """``letter`` or ``text`` (of an option) where valid; else ``no_letter``, ``several_letters``, ``not_an_option``,
    ``truncated``, ``empty``, ``blocked``, ``unreadable`` or ``failed``."""
    letter: str | None = None
    message: str | None = None

    @property
    def choice(self) -> str:
        """The letter, or the outcome in its place."""
        return self.letter or self.outcome


def choose(reading: Reading, options: Mapping[str, str]) -> Chosen:
    """Read which option a reply chooses.

    In this order count: a text that is one letter; a field of a JSON object; the last letter behind "answer" and its
    like; a letter that begins a line as in a list, if it is the only one that does; the text of an option; and the
    only capital that stands alone, where an A before a small letter is the article. Several are none, and a letter
    that is no option is none. Of an answer that ended at the token limit only what stands at its beginning counts.

    Args:
        reading: of the reply.
        options: letter to text.
    """
    if reading.blocked:
        return Chosen(outcome="blocked", status="blocked", message=f"blocked: {reading.blocked}")
    if reading.unreadable:
        return _invalid("unreadable", f"the reply cannot be read ({reading.unreadable})")
    text = without_thinking((reading.text or "")[-LONGEST:]).strip()
    if not text:
        cut = "the answer ended at the token limit" if reading.truncated else f"finish reason {reading.finish}"
        return _invalid("truncated" if reading.truncated else "empty", f"the answer is empty ({cut})")
    if reading.truncated:
        begun = _ONLY.fullmatch(text) or _BEGINS.match(text)
        return _letter(begun[1], options) if begun else _invalid("truncated", "the answer ended at the token limit")
    return _read(text, options)


def _read(text: str, options: Mapping[str, str]) -> Chosen:
    whole = _ONLY.fullmatch(text)
    if whole is not None:
        return _letter(whole[1], options)
    for found in reversed(list(json_objects(text))):
        said = next((found[name] for name in FIELDS if isinstance(found.get(name), str)), None)
        if said is not None:
            return _read(said, options) if "{" not in said else _invalid("no_letter", "the answer names no option")
    named = _NAMED.findall(text)
    if named:
        return _letter(named[-1], options)
    begins = set(_BEGINS.findall(text))
    if len(begins) == 1:
        return _letter(begins.pop(), options)
    worded = [letter for letter, option in options.items() if _plain(option) == _plain(text)]
    if len(worded) == 1:
        return Chosen(outcome="ok", status="text", letter=worded[0])
    alone = {*_ALONE.findall(text), *_ARTICLES.findall(text)} & options.keys()
    if len(alone) == 1:
        return _letter(alone.pop(), options)
    if alone or begins:
        return _invalid("several_letters", f"the answer names several options: {' '.join(sorted(alone | begins))}")
    return _invalid("no_letter", "the answer names no option")


def _letter(found: str, options: Mapping[str, str]) -> Chosen:
    letter = found.upper()
    if letter in options:
        return Chosen(outcome="ok", status="letter", letter=letter)
    return _invalid("not_an_option", f"{letter} is none of the options {' '.join(options)}")


def _invalid(status: str, message: str) -> Chosen:
    return Chosen(outcome="invalid", status=status, message=message)


def _plain(text: str) -> str:
    """Words alone, in small letters, as texts are compared."""
    return " ".join(re.findall(r"\w+", text.casefold()))
