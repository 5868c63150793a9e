"""From the answer of a language model to the words for defects, as the released code reads it and as one should."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FIXED = ("abnormal", "defect")
"""What every prompt ends with (IAP-AS, sec. 4.1.3)."""
MOST_WORDS, LONGEST_ITEM = 3, 40
"""Of a name of a defect: words, as longer items are sentences, and characters."""
MOST_WORDS_OF_CLAUSE, LONGEST_CLAUSE = 8, 80
"""Of a clause that describes one (``that is torn at the rim``)."""

Outcome = Literal["ok", "empty", "refused", "unusable"]
"""``empty``: no answer; ``refused``: the model declined; ``unusable``: no item of the answer could name a defect."""

_REFUSAL = re.compile(
    r"\b(sorry|apologi[sz]e|(can ?not|can'?t|can’t|unable to|won'?t|won’t) (help|assist|answer|provide|comply|do|write)"
    r"|as an ai|as a language model)\b"
)
_NUMBERING = re.compile(r"^\s*(?:[-*•‣–]+|\(?\d+[.):]?|[a-z]\))\s+")
_NAME = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*(?: [^\W\d_]+(?:[-'’][^\W\d_]+)*)*")
_SPEAKERS = frozenset({"i", "i'm", "i've", "i’m", "i’ve", "me", "my", "you", "your", "here", "here's", "here’s"})
_EMPTY_WORDS = frozenset({"none", "null", "n/a", "nothing", "word", "words", "etc", "and", "or"})
_SMALL_TALK = frozenset({"sure", "certainly", "okay", "yes", "of course", "here you go", "here they are"})


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What an answer came to."""

    terms: tuple[str, ...]
    """Words for defects, lower case, in the answer's order, without the fixed ones."""
    outcome: Outcome


def parse_released(answer: str) -> str:
    """Return the cleaned answer with the fixed words, parts separated by ``.``, as the released code makes it.

    Its quirks are kept: substrings such as ``word`` and ``none`` are deleted inside words, newlines join items,
    numbers survive, case is kept, an empty part may stay. The code's order of parts is that of a Python set and
    differs between processes; here they are sorted.

    Source: sybeam27/IAP-ZSAS:utils/function.py, clean_string.
    """
    text = answer.strip(".,").replace("''", "").replace('""', "")
    for piece in ("word", "Word", "none", "None"):
        text = text.replace(piece, "")
    text = re.sub(r"\bof\b|\bpart\b", "", text)
    text = ",".join([text, *FIXED])
    parts = [" ".join(dict.fromkeys(part.split())) for part in text.split(",")]
    joined = ", ".join(parts)
    if joined.startswith(","):
        joined = joined[1:].strip()
    ordered = sorted(set(joined.split(", ")), key=lambda part: (not part, part))  # an empty one at the end survives
    return ", ".join(ordered).replace(".", "").strip(".,").replace(",", ".")


def parse_robust(answer: str, *, clauses: bool = False) -> Parsed:
    """Return the words for defects in an answer, in its order and once each.

    Items end at commas, semicolons and line ends; numbering, quotes and full stops go, case is folded. Items with
    digits or signs, of more than ``MOST_WORDS`` words or ``LONGEST_ITEM`` characters are no names of defects. Clauses,
    where they were asked for, may be longer, but none says I or you.
    """
    text = answer.casefold().strip()
    if not text:
        return Parsed(terms=(), outcome="empty")
    if _REFUSAL.search(text[:200]):
        return Parsed(terms=(), outcome="refused")
    items = (_item(piece) for piece in re.split(r"[,;!?\n\r]|\.(?:\s|$)", _without_numbering(text)))
    terms = tuple(dict.fromkeys(item for item in items if _names_something(item, clauses=clauses)))
    return Parsed(terms=terms, outcome="ok" if terms else "unusable")


def distinct(terms: Sequence[str]) -> tuple[str, ...]:
    """Return the terms in their order, once each and without empty ones."""
    return tuple(dict.fromkeys(term.strip() for term in terms if term.strip()))


def _without_numbering(text: str) -> str:
    """Take the numbers off items, wherever one stands at the start of an item."""
    pieces = re.split(r"([,;\n\r])", text)
    return "".join(_NUMBERING.sub("", piece.strip(" \t")) if i % 2 == 0 else piece for i, piece in enumerate(pieces))


def _item(piece: str) -> str:
    """Take quotes, brackets and stray signs off an item, and what introduces a list (``words: crack``)."""
    text = piece.rpartition(":")[2] if ":" in piece else piece
    text = re.sub(r"[\"'`“”‘’*_()\[\]{}.!?]+(?=\s|$)|(?:^|(?<=\s))[\"'`“”‘’*_()\[\]{}.!?]+", " ", text)
    words = text.split()
    while words and words[0] in ("and", "or", "a", "an", "the"):
        words = words[1:]
    return " ".join(dict.fromkeys(words))


def _names_something(item: str, *, clauses: bool) -> bool:
    words = item.split()
    most, longest = (MOST_WORDS_OF_CLAUSE, LONGEST_CLAUSE) if clauses else (MOST_WORDS, LONGEST_ITEM)
    if not item or item in _EMPTY_WORDS | _SMALL_TALK or item in FIXED or len(item) > longest:
        return False
    if clauses and not _SPEAKERS.isdisjoint(words):
        return False
    return len(words) <= most and len(item) > 2 and _NAME.fullmatch(item) is not None
