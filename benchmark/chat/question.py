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
    frame: Mapping[str, Any] | None = None
    """How the image lies in its file (JSON values), where an answer with places depends on it; None: it does not."""

    def facts(self, provider: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the answer depends on, as JSON values: no image bytes, no key.

        Args:
            provider: the provider's name, model, API version and settings that change the answer.
        """
        parts = [{"text": p} if isinstance(p, str) else {"image": p.mime, "sha256": p.sha256} for p in self.parts]
        frame = {} if self.frame is None else {"frame": dict(self.frame)}
        return {"format": FORMAT, **provider, "parts": parts, "draw": self.draw, **frame}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A question that a draft was made into."""

    question: Question
    prepared: dict[str, Any]
    """How its image was made from its file."""
    request: dict[str, Any]
    """See ``Question.facts``."""
    key: str
    """Under which its answer is kept."""


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
    alike: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = field(default=lambda _, __: True, repr=False)
    """Whether two preparations of its image differ by no more than versions of one library do."""

    def made(self, provider: Mapping[str, Any]) -> Made:
        """Make the question, for a provider of these facts."""
        question, prepared = self.make()
        request = question.facts(provider)
        return Made(question=question, prepared=prepared, request=request, key=digest(request))


def digest(facts: Any) -> str:
    """Return the sha256 (hex) of JSON values in canonical form."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
