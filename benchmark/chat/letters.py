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
_CAPITAL = r"(?:[B-HJ-Z]|[AI](?![ \t]{1,3}(?!(?:and|or|nor|is|because|since|as|due|but|based|which)\b)[a-z]))(?![\w'’])"
"""A capital that stands alone; before a small letter A and I are words, unless it is one that letters go with."""
_NAMED = re.compile(
    r"\b(?i:answer|option|choice)\b(?P<sure>(?i:\s{1,3}is)?\s{0,3}[:=]?)"
    rf"""(?:[\s*_"'($\[{{\\]{{0,6}}(?P<letter>{_CAPITAL})|[\s*_]{{0,3}}[("'\[](?P<held>[a-z])[)"'\]]"""
    r"""|(?<=[:=])[\s*_]{0,3}(?P<small>[a-z])(?=[)*_.]{0,3}[ \t]{0,3}$))""",
    re.MULTILINE,
)
_NEXT = re.compile(
    rf"""[*_"')\]}}$]{{0,4}}\s{{0,3}}(?:[,/&]|\b(?:and|or)\b)\s{{0,3}}(?:option\s)?[*_"'($\[{{]{{0,4}}({_CAPITAL})"""
)
_NOT = re.compile(r"""(?i:\b(?:not|neither|nor|cannot)|n['’]t)(?i:\s{1,3}(?:be|option))?[\s*_"'(]{1,4}$""")
_SAID = re.compile(r"\banswer(?:\s{1,3}is\b\s{0,3}:?|\s{0,3}[:=])", re.IGNORECASE)
_BEGINS = re.compile(r"^[ \t*_(\[]{0,6}([A-Z])[*_]{0,3}[.):\]]", re.MULTILINE)
_ALONE = re.compile(rf"(?<![\w'’])({_CAPITAL})")


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

    In this order count: a text that is one letter; a field of a JSON object; the last letter behind "answer is",
    "answer:" and their like, else behind "option" alone; a letter that begins a line as in a list, if it is the only
    one that does; the text of an option, by itself or behind "answer:"; and the only capital that stands alone. An A
    before a small letter is the article, but for words such as "A and" or "A is"; a letter behind "not" is none.
    Several are none, and a letter that is no option is none. Of an answer that ended at the token limit only what
    stands at its beginning counts.

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
        field = next((found[name] for name in FIELDS if isinstance(found.get(name), str)), None)
        if field is not None:
            return _read(field, options) if "{" not in field else _invalid("no_letter", "the answer names no option")
    found = _named(text, options)
    if found is not None:
        return found
    begins = set(_BEGINS.findall(text))
    if len(begins) == 1:
        return _letter(begins.pop(), options)
    last = [text[match.end() :].strip().partition("\n")[0] for match in _SAID.finditer(text)][-1:]
    told = {plain for one in (text, *last) if (plain := _plain(one))}
    named = [letter for letter, option in options.items() if _plain(option) in told]
    if len(named) == 1:
        return Chosen(outcome="ok", status="text", letter=named[0])
    alone = {one[1] for one in _ALONE.finditer(text) if not _denied(text, one)} & options.keys()
    if len(alone) == 1:
        return _letter(alone.pop(), options)
    if alone or begins:
        return _invalid("several_letters", f"the answer names several options: {' '.join(sorted(alone | begins))}")
    return _invalid("no_letter", "the answer names no option")


def _named(text: str, options: Mapping[str, str]) -> Chosen | None:
    """Read the last letter behind "answer" and its like; None where there is none."""
    every = [one for one in _NAMED.finditer(text) if not _denied(text, one)]
    last = ([one for one in every if one["sure"].strip()] or every)[-1:]
    if not last:
        return None
    letter = (last[0]["letter"] or last[0]["held"] or last[0]["small"]).upper()
    further = _NEXT.match(text, last[0].end())
    if further is not None and further[1] != letter and further[1] in options:
        return _invalid("several_letters", f"the answer names several options: {letter} {further[1]}")
    return _letter(letter, options)


def _denied(text: str, found: re.Match[str]) -> bool:
    return _NOT.search(text[max(0, found.start() - 20) : found.start()]) is not None


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
