"""What is sent to a model: ordered texts and images, and the key under which its answer is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

FORMAT = 1
"""Raised when the meaning of a key changes; older answers are then no longer found."""


@dataclass(frozen=True)
class SentImage:
    """One encoded image, byte for byte as it is sent."""

    data: bytes = field(repr=False)
    mime: str

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes (hex)."""
        return hashlib.sha256(self.data).hexdigest()


Part = str | SentImage


@dataclass(frozen=True, kw_only=True)
class Question:
    """The ordered parts of one request."""

    parts: tuple[Part, ...]
    draw: int
    """Which of several equal requests this is, from 0."""

    def facts(self, provider: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the answer depends on, as JSON values: no image bytes, no key.

        Args:
            provider: the provider's name, model, API version and settings that change the answer.
        """
        parts = [{"text": p} if isinstance(p, str) else {"image": p.mime, "sha256": p.sha256} for p in self.parts]
        return {"format": FORMAT, **provider, "parts": parts, "draw": self.draw}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A question about one sample, with its images not yet decoded."""

    sample_id: str
    recipe: str
    """Hash of what the question is made from: source files, preparation, texts, model settings, draw.

    Encoders differ between machines, so the same question can have other bytes there; the recipe finds its answer.
    """
    make: Callable[[], tuple[Question, dict[str, Any]]] = field(repr=False)
    """Builds the question, and says how its image was prepared."""


def digest(facts: Any) -> str:
    """Return the sha256 (hex) of JSON values in canonical form."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
