"""What every provider can do, and how a call can fail."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmark.chat.question import Question
from benchmark.chat.reply import Reply, Unreadable
from benchmark.chat.verdict import Reading

log = logging.getLogger(__name__)
PASSING = frozenset({408, 425, 499})
"""Statuses below 500 that say nothing of the request: a time-out, too early, and a call that was cut off."""
Kind = Literal["rate", "quota", "server", "transport", "unreachable", "request", "denied", "refused"]


class CallError(Exception):
    """One call that gave no reply.

    Args:
        message: without any secret.
        kind: ``rate``: asked to slow down; ``quota``: nothing more today; ``server`` and ``transport``: may pass;
            ``unreachable``: there was not even a connection;
            ``request``: this request is not accepted; ``denied``: nor will others be, unless the model has answered one
            (403 and 404: model name, rights); ``refused``: no request will be (key, endpoint).
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, message: str, *, kind: Kind, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether another attempt may succeed."""
        return self.kind in ("rate", "server", "transport", "unreachable")


def refusal(status: int) -> Kind:
    """Return what a status below 500 that will not pass says of other requests."""
    if status == 401 or 300 <= status < 400:  # no redirect is followed: the address is wrong for every request
        return "refused"
    return "denied" if status in (403, 404) else "request"


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One reply as it came, without secrets."""

    body: str
    """As ``body_text`` returns it; ``reading`` says what is in it."""
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

    def read(self, reply: Reply) -> Reading:
        """Read a reply, fresh or stored; raises Unreadable. Go through ``reading``, which raises nothing."""
        ...

    def count_tokens(self, question: Question) -> int | None:
        """Ask the service how many tokens the question has, free of charge; None where it cannot say."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def reading(provider: Provider, reply: Reply) -> Reading:
    """Return what a reply says; whatever it is, it has a reading, and a better parser can read it anew."""
    try:
        return provider.read(reply)
    except Unreadable as error:
        return Reading(text=None, unreadable=str(error))
    except Exception as error:  # a shape that nobody thought of is one bad answer, not the end of a run
        log.warning("a reply of %s cannot be read (%s: %s)", provider.model, type(error).__name__, error)
        return Reading(text=None, unreadable=f"{type(error).__name__}: {error}")
