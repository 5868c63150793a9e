"""Any model behind a chat-completions endpoint: vLLM, Ollama, llama.cpp, hosted models."""

from __future__ import annotations

import base64
from typing import Any, Literal

from pydantic import Field

from benchmark.chat.access import HttpAccess
from benchmark.chat.profiles import Sampling
from benchmark.chat.providers.base import CallError, Raw
from benchmark.chat.question import Question, digest
from benchmark.chat.secrets import api_key
from benchmark.chat.verdict import Order, Reading, Usage, instruction, schema
from benchmark.core.secrets import redact, without_keys_in
from benchmark.core.settings import Settings


class OpenAISettings(Settings):
    """The provider ``openai_compatible``."""

    kind: Literal["openai_compatible"]
    service: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    """Who serves the model, in your words: the same name elsewhere may be another quantisation."""
    model: str
    sampling: Sampling
    max_output_tokens: int = Field(ge=16)
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"]
    """How the endpoint calls it."""
    detail: Literal["auto", "low", "high"] | None
    """Image detail, where the endpoint knows it."""
    response: Literal["json_schema", "json_object", "text"]
    """``json_object`` and ``text`` ask for the JSON in words."""
    access: HttpAccess


class OpenAICompatible:
    """One model behind a chat-completions endpoint."""

    name = "openai_compatible"

    def __init__(self, settings: OpenAISettings, *, order: Order) -> None:
        """Nothing is connected yet."""
        self.settings = settings
        self.model = settings.model
        self.order = order
        self._key: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return what changes an answer beside the question."""
        s = self.settings
        words = schema(self.order) if s.response == "json_schema" else instruction(self.order)
        return {
            "provider": self.name,
            "service": s.service,
            "model": s.model,
            "sampling": s.sampling.given(),
            "max_output_tokens": s.max_output_tokens,
            "detail": s.detail,
            "response": s.response,
            "schema": digest([self.order, words]),
        }

    def open(self) -> None:
        """Read the key; raises ConfigError where it is missing."""
        if self._key is None and self.settings.access.key_env is not None:
            fix = "pipeline.provider.access.key_env=null for an endpoint without keys"
            self._key = api_key(self.settings.access.key_env, fix=f"give {fix}")

    def ask(self, question: Question) -> Raw:
        """Send one question; raises CallError."""
        import requests

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        address = (self.settings.access.base_url or "https://api.openai.com/v1").rstrip("/")
        try:
            reply = requests.post(
                f"{address}/chat/completions",
                json=self._body(question),
                headers=headers,
                timeout=self.settings.access.timeout_s,
                allow_redirects=False,  # the key goes to no other place
            )
        except requests.RequestException as error:
            raise CallError(f"{type(error).__name__}: {redact(str(error))}", kind="transport") from None
        if reply.status_code != 200:
            raise _explained(reply)
        try:
            read = reply.json()
        except ValueError:
            raise CallError("the reply is not JSON", kind="server") from None
        if not isinstance(read, dict) or not read.get("choices"):
            raise CallError(redact(f"the reply has no choices: {str(read)[:300]}"), kind="server")
        return Raw(response=without_keys_in(read), software="chat-completions")

    def _body(self, question: Question) -> dict[str, Any]:
        s = self.settings
        content: list[dict[str, Any]] = []
        for part in question.parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
                continue
            url = f"data:{part.mime};base64,{base64.b64encode(part.data).decode()}"
            content.append(
                {"type": "image_url", "image_url": {"url": url} | ({"detail": s.detail} if s.detail else {})}
            )
        body: dict[str, Any] = {"model": s.model, s.max_tokens_name: s.max_output_tokens, **s.sampling.given()}
        if s.response == "json_schema":
            plain = {k: v for k, v in schema(self.order).items() if k != "propertyOrdering"}
            strict = {"name": "answer", "strict": True, "schema": {**plain, "additionalProperties": False}}
            body["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            content.append({"type": "text", "text": instruction(self.order)})
            if s.response == "json_object":
                body["response_format"] = {"type": "json_object"}
        return {**body, "messages": [{"role": "user", "content": content}]}

    def read(self, response: dict[str, Any]) -> Reading:
        """Read a raw reply."""
        first = response["choices"][0]
        message, finish = first.get("message") or {}, first.get("finish_reason")
        refusal = message.get("refusal")
        blocked = f"answer, {refusal}" if refusal else "answer, content_filter" if finish == "content_filter" else None
        used = response.get("usage") or {}
        return Reading(
            text=message.get("content"),
            blocked=blocked,
            truncated=finish == "length",
            finish=finish,
            model_version=response.get("model"),
            response_id=response.get("id"),
            usage=Usage(
                prompt=int(used.get("prompt_tokens") or 0),
                output=int(used.get("completion_tokens") or 0),
                cached=int((used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
            ),
        )

    def count_tokens(self, question: Question) -> int | None:
        """Return None: the protocol has no such call."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""


def _explained(reply: Any) -> CallError:
    code = int(reply.status_code)
    try:
        body = reply.json()
    except ValueError:
        body = {}
    error = body.get("error") if isinstance(body, dict) else None
    facts = error if isinstance(error, dict) else {"message": error or reply.text}
    message = redact(f"{code} {facts.get('message') or reply.reason}")[:500]
    if code == 429:
        spent = "insufficient_quota" in (facts.get("code"), facts.get("type"))
        return CallError(message, kind="quota" if spent else "rate", retry_after=_delay(reply))
    if code == 408 or code >= 500:
        return CallError(message, kind="server", retry_after=_delay(reply))
    elsewhere = 300 <= code < 400  # no redirect is followed: the address is wrong for every request
    return CallError(message, kind="refused" if elsewhere or code in (401, 403, 404) else "request")


def _delay(reply: Any) -> float | None:
    try:
        return max(0.0, float(reply.headers.get("Retry-After", "")))
    except ValueError:
        return None
