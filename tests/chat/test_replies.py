"""Whatever arrives has a reading, is kept as it came, and is understood in time that grows with its length alone."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.chat.answers import AnswerStore, Record
from benchmark.chat.form import Form
from benchmark.chat.json_objects import json_objects, without_thinking
from benchmark.chat.providers.base import Provider, reading
from benchmark.chat.providers.google import Google
from benchmark.chat.providers.hf_local import LocalModel
from benchmark.chat.providers.openai_compatible import OpenAICompatible
from benchmark.chat.question import digest
from benchmark.chat.reply import body_text, object_in
from benchmark.chat.verdict import Reading, judge

LABEL = Form(order="reasoning_first")
ANSWER = '{"reasoning": "a scratch", "label": "NOK"}'
DRAFT = '{"reasoning": "smooth", "label": "OK"}'
OPENAI = {
    "id": "c", "model": "m", "choices": [{"message": {"content": ANSWER, "refusal": None}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip
GEMINI = {
    "candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "hm", "thought": True}, {"text": ANSWER}]}}],
    "modelVersion": "m", "responseId": "r",
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
}  # fmt: skip
STORED = {
    "candidates": [{"finish_reason": "STOP", "content": {"parts": [{"text": ANSWER}]}}],
    "model_version": "m", "response_id": "r", "usage_metadata": {"prompt_token_count": 5, "candidates_token_count": 3},
}  # fmt: skip
LOCAL = {"text": ANSWER, "prompt_tokens": 5, "output_tokens": 3, "ended": True, "model": "m"}


def provider(kind: type) -> Provider:
    made: Provider = object.__new__(kind)
    made.model, made.settings = "m", SimpleNamespace(model="m")  # type: ignore[attr-defined]
    return made


PROVIDERS = {
    "openai": (provider(OpenAICompatible), OPENAI),
    "google": (provider(Google), GEMINI),
    "google, as earlier versions kept it": (provider(Google), STORED),
    "google, a line of a batch": (provider(Google), {"key": "k", "response": GEMINI}),
    "local": (provider(LocalModel), LOCAL),
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud83d", ANSWER, ""])
VALUES: Any = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("text"), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in JSON values."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


def changed(reply: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(reply)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def is_total(of: Provider, body: str, folder: Path) -> Reading:
    """Read, judge, keep and read again; returns the reading."""
    read = reading(of, body)
    verdict = judge(read, LABEL)
    assert verdict.outcome in ("ok", "invalid", "blocked") and (verdict.label is None) == (verdict.outcome != "ok")
    for text in (read.text, read.finish, read.model_version, read.response_id, verdict.reasoning, verdict.message):
        assert text is None or isinstance(text.encode(), bytes)
    most = 2 * 10**12  # an answer and its thinking are counted apart, and added up
    assert all(0 <= n <= most for n in (read.usage.prompt, read.usage.output, read.usage.cached))
    record = Record(
        key=digest({}), recipe="r", request={}, prepared={}, dataset="d", sample="s", body=body, failure=None,
        cost_usd=None, attempts=1, latency_s=0.0, software="x", time="t",
    )  # fmt: skip
    store = AnswerStore(folder)
    store.put(record, "answers")
    kept = AnswerStore(folder).get(record.key)
    assert kept is not None and kept.reply == body
    return read


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_usual_reply_is_read_from_its_bytes_and_from_its_values(name: str) -> None:
    of, reply = PROVIDERS[name]
    read = reading(of, body_text(json.dumps(reply).encode()))
    assert read == reading(of, reply)
    assert judge(read, LABEL).label == "NOK" and read.is_answer and read.model_version == "m"
    assert (read.usage.prompt, read.usage.output) == (5, 3)


@pytest.mark.parametrize("name", PROVIDERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_reply_has_a_reading(name: str, data: st.DataObject, tmp_path: Path) -> None:
    of, reply = PROVIDERS[name]
    path = data.draw(st.sampled_from(places(reply)))
    body = json.dumps(changed(reply, path, data.draw(VALUES)))
    is_total(of, body_text(body.encode()), tmp_path)


@pytest.mark.parametrize("name", PROVIDERS)
@given(content=st.binary() | st.text().map(str.encode))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_have_a_reading(name: str, content: bytes, tmp_path: Path) -> None:
    is_total(PROVIDERS[name][0], body_text(content), tmp_path)


def chat(content: Any) -> dict[str, Any]:
    return changed(OPENAI, ("choices", 0, "message", "content"), content)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": ANSWER}],
        [{"type": "thinking", "thinking": DRAFT}, {"type": "text", "text": ANSWER}],
        [{"type": "reasoning", "text": DRAFT}, {"type": "output_text", "text": ANSWER}],
        [ANSWER[:12], ANSWER[12:]],
        [{"type": "text", "text": {"value": ANSWER}}],
        [None, 3, {"type": "image_url"}, {"text": ANSWER}],
        {"text": ANSWER},
        ANSWER + " \ud83d",
    ],
)
def test_content_in_parts_is_their_text(content: Any) -> None:
    verdict = judge(reading(PROVIDERS["openai"][0], json.dumps(chat(content))), LABEL)
    assert (verdict.outcome, verdict.label, verdict.reasoning) == ("ok", "NOK", "a scratch")


@pytest.mark.parametrize(
    ("name", "reply", "answer"),
    [
        ("openai", {"choices": [None]}, False),
        ("openai", {"choices": None}, False),
        ("openai", [OPENAI], False),
        ("openai", "<html>", False),
        ("openai", None, False),
        ("openai", chat(None) | {"usage": None}, False),
        ("openai", chat(None), True),  # tokens were billed
        ("google", {}, False),
        ("google", {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 9}}, False),
        ("google", {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"candidatesTokenCount": 9}}, True),
        ("google", {"candidates": [{"finishReason": "MAX_TOKENS"}]}, True),
        ("google", {"candidates": [{"finishReason": "SAFETY"}]}, True),
        ("google", {"promptFeedback": {"blockReason": "OTHER"}}, True),
    ],
)
def test_what_is_an_answer(name: str, reply: Any, answer: bool) -> None:
    assert reading(PROVIDERS[name][0], json.dumps(reply)).is_answer is answer


@pytest.mark.parametrize(
    "usage", [[], 3, "many", {"prompt_tokens": "5"}, {"prompt_tokens": -1}, {"prompt_tokens": 1e400}]
)
def test_odd_usage_counts_nothing(usage: Any) -> None:
    read = reading(PROVIDERS["openai"][0], json.dumps({**OPENAI, "usage": usage}))
    assert (read.usage.prompt, read.usage.output) == (0, 0) and judge(read, LABEL).label == "NOK"


def test_a_reply_that_is_too_deep_is_an_answer_that_is_kept() -> None:
    deep = json.dumps(OPENAI)[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    read = reading(PROVIDERS["openai"][0], deep)
    assert read.is_answer and judge(read, LABEL).outcome == "invalid" and "read" in str(judge(read, LABEL).message)
    assert object_in("nothing") == {}


@pytest.mark.parametrize(("depth", "read"), [(150, True), (300, False), (950, False), (3000, False), (30_000, False)])
def test_how_deep_is_too_deep_does_not_depend_on_the_interpreter(depth: int, *, read: bool) -> None:
    """Python 3.13 reads JSON that 3.11 cannot, and nothing behind it could take it apart."""
    inside = "[" * depth + "]" * depth
    found = judge(reading(PROVIDERS["openai"][0], json.dumps(OPENAI)[:-1] + f', "x": {inside}}}'), LABEL)
    assert (found.label == "NOK", found.outcome) == (read, "ok" if read else "invalid")
    in_objects = '{"a":' * depth + "1" + "}" * depth
    found = judge(reading(PROVIDERS["openai"][0], json.dumps(OPENAI)[:-1] + f', "x": {in_objects}}}'), LABEL)
    assert found.outcome == ("ok" if read else "invalid")
    for value in (inside, in_objects):
        said = copy.deepcopy(OPENAI)
        said["choices"][0]["message"]["content"] = f'{{"reasoning": "a dent", "label": "NOK", "x": {value}}} or {value}'
        assert judge(reading(PROVIDERS["openai"][0], json.dumps(said)), LABEL).outcome in ("ok", "invalid")


THOUGHTS = {
    "a draft": f"<think>{DRAFT}? No.</think>{ANSWER}",
    "a draft that was begun in the question": f"{DRAFT}? No.</think>\n{ANSWER}",
    "another tag": f"<reasoning>{DRAFT}</reasoning> {ANSWER}",
    "another model's": f"[THINK]{DRAFT}[/THINK]```json\n{ANSWER}\n```",
    "two drafts": f"<think>{DRAFT}</think><think>no: {DRAFT}</think>{ANSWER}",
    "one inside the other": f"<think>a <think>{DRAFT}</think> {DRAFT}</think>{ANSWER}",
    "aloud": f"First I thought {DRAFT}, but then: {ANSWER}",
    "two blocks": f"```json\n{DRAFT}\n```\nNo:\n```json\n{ANSWER}\n```",
    "a draft that is cut": f"{ANSWER} <think>or is it {DRAFT}",
    "an example of another shape behind it": f'{ANSWER} as in {{"label": "maybe"}}',
    "in words with a brace": f'a {{ brace, 5" wide: {ANSWER}',
    "in another object that is none": f"{{answer: {ANSWER}}}",
    "with more in it": '{"draft": ' + DRAFT + ', "reasoning": "a scratch", "label": "NOK"}.',
    "a tag in the reasoning": '{"reasoning": "<think>" , "label": "NOK"}',
}


@pytest.mark.parametrize("text", THOUGHTS.values(), ids=THOUGHTS)
def test_the_last_valid_answer_behind_the_thinking_counts(text: str) -> None:
    assert judge(Reading(text=text), LABEL).label == "NOK"


@pytest.mark.parametrize(
    "text",
    [f"<think>{DRAFT}", f"<think>it may be {DRAFT} or {ANSWER}", f"<think>{DRAFT}</think>", "<think></think> OK"],
)
def test_a_draft_alone_is_no_answer(text: str) -> None:
    verdict = judge(Reading(text=text), LABEL)
    assert (verdict.outcome, verdict.label) == ("invalid", None)


@given(st.text(st.sampled_from('{}":,[] ax\\n')), st.text(st.sampled_from("{}ab ,'")))
@settings(max_examples=200, deadline=None)
def test_objects_are_found_whatever_stands_before_them(before: str, after: str) -> None:
    assert isinstance(list(json_objects(before + after)), list)
    if "{" not in before and "<" not in before:
        assert json.loads(ANSWER) in list(json_objects(before + ANSWER + after))


LONG = 200_000
ENDLESS = {
    "braces": "{" * LONG,
    "nested": '{"a":' * (LONG // 5),
    "nested and closed": '{"a":' * (LONG // 10) + "1" + "}" * (LONG // 10),
    "objects": '{"a":1}' * (LONG // 7),
    "escaped quotes": '{"' + '\\"' * (LONG // 2),
    "quotes": '{"a" ' * (LONG // 5),
    "open tags": "<think>" * (LONG // 7),
    "tags": "<think></think>" * (LONG // 15),
    "fences": "```{}``` " * (LONG // 9),
    "open fences": "```json " * (LONG // 8),
    "lists": "[" * LONG,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    start = time.process_time()
    assert judge(Reading(text=text), LABEL).outcome == "invalid"
    assert judge(Reading(text=text + ANSWER), LABEL).outcome in ("ok", "invalid")
    assert time.process_time() - start < 8
    assert isinstance(without_thinking(text), str)
