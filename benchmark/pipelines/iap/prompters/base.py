"""What every prompter can do, and what it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.core.settings import Settings
from benchmark.stages.context import Context


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which defects an object may have."""

    dataset: str
    category: str
    object: str
    """What the object is called."""
    system: str
    user: str
    """The messages; prompters that are no language models do not read them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a prompter says, before anyone reads it."""

    raw: str
    facts: Mapping[str, Any]
    """Who answered (JSON values, nothing secret)."""
    withheld: str | None = None
    """Why the service kept its answer back, where it did."""


class Prompter(Settings, ABC):
    """The base of every option of the group ``prompter``."""

    def check(self) -> None:
        """Refuse a prompter that cannot work here, before any work; raises ConfigError with the fix."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return the JSON facts that an answer depends on: provider, model, sampling; nothing secret."""

    @abstractmethod
    def answer(self, context: Context, request: Request) -> Answer:
        """Answer; raises BenchmarkError where there is none to be had."""
