"""Defects from a table written by hand: the same answer everywhere, and no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.pipelines.iap.taggers.base import plain_name
from benchmark.stages.context import Context


class StaticPrompter(Prompter):
    """Answers with the table's words for every entry that names a word of the object or of its category."""

    general: tuple[str, ...]
    """Asked of every object, behind those of its entries."""
    by_word: dict[str, tuple[str, ...]]
    """A word of the object's or the category's name, to defects; entries count in the table's order."""

    @field_validator("general")
    @classmethod
    def _has_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one defect")
        return value

    def identity(self) -> Mapping[str, Any]:
        """Return the hash of the table."""
        table = json.dumps([list(self.general), [[word, list(terms)] for word, terms in self.by_word.items()]])
        return {"kind": "static", "table_sha256": hashlib.sha256(table.encode()).hexdigest()}

    def answer(self, context: Context, request: Request) -> Answer:
        """Return the words, separated by commas."""
        text = f" {request.object} {plain_name(request.category)} ".lower()
        entries = [word for word in self.by_word if f" {word} " in text]
        terms = [term for word in entries for term in self.by_word[word]]
        terms = list(dict.fromkeys([*terms, *self.general]))
        return Answer(raw=", ".join(terms), facts={"kind": "static", "entries": entries})
