"""One question to a language model as it went: what tracking shows of it."""

from __future__ import annotations

from typing import Literal

from benchmark.core.settings import Record

LONGEST = 20_000
"""Characters of a text that are kept."""


class Trace(Record):
    """One question and what came of it; no image bytes and no key, every text redacted."""

    sample: str
    """Id: the image's path below the folder of its dataset."""
    category: str
    prompt: str
    """All texts of the question."""
    images: tuple[str, ...]
    """sha256 of each image as it was sent, the one that is asked about last."""
    answer: str | None
    state: Literal["answered", "blocked", "truncated", "unreadable", "failed"]
    message: str | None = None
    """Why it is not ``answered``."""
    how: Literal["asked", "stored", "batch"]
    """Asked in this run; read from the store, where it was paid for before; or through the batch API, whenever."""
    provider: str
    model: str
    prompt_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_s: float
    attempts: int
    time: str
    """UTC, ISO 8601: when the answer was there."""
