"""How a language model is asked for defects; the texts are ours, after what the paper and its code ask for."""

from __future__ import annotations

from typing import Literal

Wording = Literal["nouns", "clauses"]
"""``nouns``: names of defects, as the released code asks; ``clauses``: five adjective clauses, as the paper says."""
VERSION = 1
"""Raised with every change of a text."""

_SYSTEM = {
    "nouns": "Answer with nothing but a list of lower-case words, in the form: word, word, word",
    "clauses": "Answer with nothing but a list of five short lower-case phrases, in the form: phrase, phrase, phrase",
}
_USER = {
    "nouns": (
        "An object detector is to find the abnormal parts of: {object}. "
        "List nouns for the anomalies that can be seen on images of {object}, without repeating yourself."
    ),
    "clauses": (
        "An object detector is to find the abnormal parts of: {object}. "
        "Write five different adjectives or adjective clauses that describe a damaged or unusual part of {object}, "
        "each as it would stand before the word {object}, without repeating yourself."
    ),
}


def messages(wording: Wording, object_name: str) -> tuple[str, str]:
    """Return the system and the user message for an object."""
    return _SYSTEM[wording], _USER[wording].replace("{object}", object_name)
