"""What every provider can do, and how a call can fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmark.chat.question import Question
from benchmark.chat.verdict import Reading

Kind = Literal["rate", "quota", "server", "transport", "request", "refused"]


class CallError(Exception):
    """One call that gave no reply.

    Args:
        message: without any secret.
        kind: ``rate``: asked to slow down; ``quota``: nothing more today; ``server`` and ``transport``: may pass;
            ``request``: this request is not accepted; ``refused``: no request will be (key, model name, endpoint).
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, message: str, *, kind: Kind, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether another attempt may succeed."""
        return self.kind in ("rate", "server", "transport")


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One reply as JSON values, without secrets."""

    response: dict[str, Any]
    software: str
    """Client and version that fetched it."""


class Provider(Protocol):
    """One model behind one interface; safe to share between threads."""

    name: str
    model: str

    def facts(self) -> dict[str, Any]:
        """Return all that changes an answer beside the question: provider, model, settings (JSON values)."""
        ...

    def open(self) -> None:
        """Get ready to ask; raises ConfigError where a key or a file is missing."""
        ...

    def ask(self, question: Question) -> Raw:
        """Send one question; raises CallError."""
        ...

    def read(self, response: dict[str, Any]) -> Reading:
        """Read a raw reply, fresh or stored."""
        ...

    def count_tokens(self, question: Question) -> int | None:
        """Ask the service how many tokens the question has, free of charge; None where it cannot say."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
