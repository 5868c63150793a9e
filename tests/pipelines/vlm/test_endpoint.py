"""The same classifier over a chat-completions endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError, ConfigError
from tests.pipelines.vlm.servers import Reply, Script, serving
from tests.pipelines.vlm.toys import context, everything_below, images, pipeline, predict

MODEL = "qwen2.5-vl-7b-instruct"
SECRET = "sk-an-endpoint-key-9876"


def chat(text: str | None, *, finish: str = "stop", model: str = MODEL, refusal: str | None = None) -> Reply:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    usage = {"prompt_tokens": 500, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 100}}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Reply({"id": "c", "model": model, "choices": [choice], "usage": usage})


def error(status: int, *, code: str = "busy", **headers: str) -> Reply:
    body = {"error": {"message": f"said {SECRET}", "code": code}}
    return Reply(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


NOK = chat('{"reasoning": "a dent", "label": "NOK"}')
CASES: dict[str, tuple[Script, str, str]] = {
    "valid": (lambda i, n: NOK, "ok", "json"),
    "fenced": (lambda i, n: chat('```json\n{"reasoning": "", "label": "NOK"}\n```'), "ok", "fenced"),
    "cut": (lambda i, n: chat('{"reas', finish="length"), "invalid", "truncated"),
    "empty": (lambda i, n: chat(None), "invalid", "empty"),
    "filtered": (lambda i, n: chat(None, finish="content_filter"), "blocked", "blocked"),
    "refused": (lambda i, n: chat(None, refusal="I cannot"), "blocked", "blocked"),
    "busy": (lambda i, n: error(429, Retry_After="0.05") if n == 1 else NOK, "ok", "json"),
    "broken": (lambda i, n: Reply(b"<html>") if n == 1 else error(500) if n == 2 else NOK, "ok", "json"),
    "dropped": (lambda i, n: Reply(drop=True) if n == 1 else NOK, "ok", "json"),
    "dated name": (lambda i, n: chat('{"reasoning": "", "label": "NOK"}', model=f"{MODEL}-2026-01-31"), "ok", "json"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_reply_is_a_row(tmp_path: Path, case: str) -> None:
    script, outcome, status = CASES[case]
    with serving(script) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}/v1", name="vlm_endpoint")
        (prediction,) = predict(chosen, context(tmp_path, images(tmp_path / "images", 1)))
        assert (prediction.outcome, prediction.extra["answer"]) == (outcome, status)
        assert prediction.label is (True if outcome == "ok" else None)
        calls = len(fake.log)
        replayed = pipeline(tmp_path, "pipeline.answers.mode=replay", name="vlm_endpoint")
        assert predict(replayed, context(tmp_path, images(tmp_path / "images", 1))) == [prediction]
        assert len(fake.log) == calls


def test_the_request_and_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda i, n: NOK) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}/v1", "pipeline.provider.access.key_env=MY_ENDPOINT_KEY")
        chosen = pipeline(tmp_path, *given, name="vlm_endpoint")
        samples = images(tmp_path / "images", 2)
        with pytest.raises(ConfigError, match="MY_ENDPOINT_KEY"):
            predict(chosen, context(tmp_path, samples))
        monkeypatch.setenv("MY_ENDPOINT_KEY", SECRET)
        predict(chosen, context(tmp_path, samples))
    body = fake.bodies[0]
    assert fake.log[0].key == f"Bearer {SECRET}" and SECRET not in json.dumps(body)
    assert body["model"] == MODEL and body["temperature"] == 0 and body["max_tokens"] == 2048
    shape = body["response_format"]["json_schema"]
    assert shape["strict"] and list(shape["schema"]["properties"]) == ["reasoning", "label"]
    assert [p["type"] for p in body["messages"][0]["content"]] == ["text", "image_url", "text"]


def test_words_ask_for_json_where_the_endpoint_has_no_schema(tmp_path: Path) -> None:
    with serving(lambda i, n: NOK) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}/v1", "pipeline.provider.response=text")
        predict(pipeline(tmp_path, *given, name="vlm_endpoint"), context(tmp_path, images(tmp_path / "images", 1)))
    assert "response_format" not in fake.bodies[0]
    assert "one JSON object" in fake.bodies[0]["messages"][0]["content"][-1]["text"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 401, 403, 404])
def test_a_wrong_key_or_address_costs_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A redirect is a wrong address: neither the key nor the images go to another place than the one named."""
    monkeypatch.setenv("MY_ENDPOINT_KEY", SECRET)
    with serving(lambda i, n: NOK) as other, serving(lambda i, n: error(status, Location=moved)) as fake:
        moved = f"{other.url}/v1/chat/completions"
        given = (f"pipeline.provider.access.base_url={fake.url}/v1", "pipeline.provider.access.key_env=MY_ENDPOINT_KEY")
        with pytest.raises(ConfigError, match="cannot be asked") as caught:
            predict(pipeline(tmp_path, *given, name="vlm_endpoint"), context(tmp_path, images(tmp_path / "images", 5)))
    assert len(fake.log) == 1 and other.log == [] and SECRET not in str(caught.value)
    assert not [p for p, content in everything_below(tmp_path) if SECRET.encode() in content]


def test_a_spent_account_stops_the_run(tmp_path: Path) -> None:
    with serving(lambda i, n: error(429, code="insufficient_quota")) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}/v1", name="vlm_endpoint")
        with pytest.raises(BenchmarkError, match="quota is used up"):
            predict(chosen, context(tmp_path, images(tmp_path / "images", 5)))
    assert len(fake.log) == 1
