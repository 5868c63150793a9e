"""What a chat-completions endpoint's status means, and how often a question is asked again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.chat.form import Form
from benchmark.chat.providers.base import CallError, Raw
from benchmark.chat.providers.openai_compatible import OpenAICompatible, _explained
from benchmark.chat.verdict import Reading, Usage
from benchmark.core.errors import BenchmarkError
from benchmark.pipelines.iap.prompters import asking
from benchmark.pipelines.iap.prompters.asking import Retries

KINDS = {
    **dict.fromkeys(
        (300, 301, 302, 303, 307, 308), "refused"
    ),  # the address is wrong, and the key is sent to no other place
    401: "refused",
    **dict.fromkeys((403, 404), "denied"),
    **dict.fromkeys((400, 405, 409, 413, 415, 422), "request"),
    **dict.fromkeys((408, 425, 499, 500, 502, 503, 504, 529), "server"),
    429: "rate",
}


def reply(status: int, body: Any, **headers: str) -> SimpleNamespace:
    def json() -> Any:
        if isinstance(body, Exception):
            raise body
        return body

    return SimpleNamespace(status_code=status, json=json, text="plain text", reason="Reason", headers=headers)


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_each_status_has_its_kind(status: int, kind: str) -> None:
    told = _explained(reply(status, {"error": {"message": "what went wrong"}}))
    assert (told.kind, str(told)) == (kind, f"{status} what went wrong")
    assert told.passing == (kind in ("rate", "server"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m"}}, "429 m"),
        ({"error": "words"}, "429 words"),
        ({"error": {}}, "429 Reason"),
        ({}, "429 plain text"),
        ([], "429 plain text"),
        (ValueError("no JSON"), "429 plain text"),
        ({"error": {"message": "x" * 900}}, "429 " + "x" * 496),
    ],
)
def test_what_an_error_says_is_found_wherever_it_stands(body: Any, said: str) -> None:
    assert str(_explained(reply(429, body))) == said


@pytest.mark.parametrize(
    ("facts", "kind"),
    [({}, "rate"), ({"code": "insufficient_quota"}, "quota"), ({"type": "insufficient_quota"}, "quota")],
)
def test_a_spent_account_is_told_from_a_busy_one(facts: dict[str, str], kind: str) -> None:
    assert _explained(reply(429, {"error": {"message": "m", **facts}})).kind == kind


@pytest.mark.parametrize("status", [429, 408, 503])
@pytest.mark.parametrize(
    ("asked", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", None), (None, None)]
)
def test_the_servers_own_delay_is_kept(status: int, asked: str | None, seconds: float | None) -> None:
    headers = {} if asked is None else {"Retry-After": asked}
    assert _explained(reply(status, {}, **headers)).retry_after == seconds


@pytest.mark.parametrize(
    ("used", "usage"),
    [
        (
            {"prompt_tokens": 500, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 100}},
            Usage(prompt=500, output=30, cached=100),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None},
            Usage(prompt=9, output=0, cached=0),
        ),
        (None, Usage(prompt=0, output=0, cached=0)),
    ],
)
def test_tokens_are_read_from_the_reply(used: Any, usage: Usage) -> None:
    provider = OpenAICompatible(SimpleNamespace(model="m"), form=Form(order="reasoning_first"))  # type: ignore[arg-type]
    choice = {"message": {"content": "c"}, "finish_reason": "length"}
    read = provider.read({"choices": [choice], "usage": used, "model": "m-1", "id": "r"})
    assert (read.usage, read.text, read.truncated, read.finish) == (usage, "c", True, "length")
    assert (read.model_version, read.response_id, read.blocked) == ("m-1", "r", None)


class Provider:
    """Fails as it is told, then answers."""

    name, model = "toy", "toy-1"

    def __init__(self, *failures: CallError) -> None:
        self.failures, self.asked = list(failures), 0

    def ask(self, question: Any) -> Raw:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return Raw(body="words", software="toy")

    def read(self, reply: Any) -> Reading:
        return Reading(text=reply)


def busy(after: float | None = None) -> CallError:
    return CallError("busy", kind="rate", retry_after=after)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    # its own, as threads of earlier tests may sleep, too
    monkeypatch.setattr(asking, "time", SimpleNamespace(**{**vars(asking.time), "sleep": seconds.append}))
    return seconds


RETRIES = Retries(attempts=4, first_delay_s=1.0, longest_delay_s=3.0)
REQUEST = SimpleNamespace(category="ring")


@pytest.mark.parametrize(
    ("failures", "waited"),
    [
        ([], []),
        ([busy()], [1.0]),
        ([busy(), busy(), busy()], [1.0, 2.0, 3.0]),  # doubled, up to the longest
        ([busy(0.5), busy()], [0.5, 2.0]),
        ([busy(3.0)], [3.0]),
        ([CallError("x", kind="server"), CallError("x", kind="transport")], [1.0, 2.0]),
    ],
)
def test_a_failure_that_may_pass_is_asked_again(
    failures: list[CallError], waited: list[float], waits: list[float]
) -> None:
    provider = Provider(*failures)
    assert asking._reply(provider, None, REQUEST, RETRIES).software == "toy"  # type: ignore[arg-type]
    assert waits == waited and provider.asked == len(waited) + 1


@pytest.mark.parametrize(
    ("failures", "asked", "said"),
    [
        ([busy()] * 4, 4, "'ring': toy gives no prompts after 4 attempts: busy; run the same command again"),
        ([busy(3.1)], 1, "gives no prompts: busy"),
        ([busy(), busy(9.0)], 2, "gives no prompts after 2 attempts: busy"),
        ([CallError("no", kind="refused")], 1, "gives no prompts: no"),
        ([CallError("no", kind="request")], 1, "gives no prompts: no"),
        ([CallError("no", kind="quota")], 1, "gives no prompts: no"),
    ],
)
def test_what_will_not_pass_ends_it(failures: list[CallError], asked: int, said: str, waits: list[float]) -> None:
    provider = Provider(*failures)
    with pytest.raises(BenchmarkError, match=said):
        asking._reply(provider, None, REQUEST, RETRIES)  # type: ignore[arg-type]
    assert provider.asked == asked and len(waits) == asked - 1
