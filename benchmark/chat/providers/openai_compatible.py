"""Any model behind a chat-completions endpoint: vLLM, Ollama, llama.cpp, hosted models."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.chat.access import HttpAccess
from benchmark.chat.form import Form
from benchmark.chat.logprobs import LOGPROBS, tokens_of_chat
from benchmark.chat.profiles import Sampling
from benchmark.chat.providers.base import PASSING, CallError, Kind, Raw, refusal
from benchmark.chat.question import Question, digest
from benchmark.chat.reply import Reply, body_text, first, joined, number, object_in, part, word
from benchmark.chat.secrets import api_key
from benchmark.chat.verdict import Reading, Usage
from benchmark.core.deadline import within
from benchmark.core.secrets import redact
from benchmark.core.settings import Settings

if TYPE_CHECKING:
    import requests


class OpenAISettings(Settings):
    """The provider ``openai_compatible``."""

    toy = None

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

    def __init__(self, settings: OpenAISettings, *, form: Form | None) -> None:
        """Nothing is connected yet; without a form nothing is said of the answer's."""
        self.settings = settings
        self.model = settings.model
        self.form = form
        self._key: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return what changes an answer beside the question."""
        s = self.settings
        form = self.form
        words = None
        if form is not None:
            words = form.schema() if s.response == "json_schema" else form.instruction()
        return {
            "provider": self.name,
            "service": s.service,
            "model": s.model,
            "sampling": s.sampling.given(),
            "max_output_tokens": s.max_output_tokens,
            "detail": s.detail,
            "response": "text" if form is None else s.response,
            "schema": digest([form and form.order, words]),
            **({"logprobs": LOGPROBS} if form and form.logprobs else {}),
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
        body, limit = self._body(question), self.settings.access.timeout_s

        def post() -> requests.Response:
            # No redirect is followed: the key goes to no other place.
            place = f"{address}/chat/completions"
            return requests.post(place, json=body, headers=headers, timeout=limit, allow_redirects=False)

        try:
            reply = within(limit, post)
        except TimeoutError as error:
            raise CallError(str(error), kind="transport") from None
        except requests.RequestException as error:
            kind = _connected(error)
            text = _no_server(address, error) if kind == "unreachable" else f"{type(error).__name__}: {error}"
            raise CallError(redact(text), kind=kind) from None
        if reply.status_code != 200:
            raise _explained(reply)
        return Raw(body=body_text(reply.content), software="chat-completions")

    def _body(self, question: Question) -> dict[str, Any]:
        s = self.settings
        content: list[dict[str, Any]] = []
        for piece in question.parts:
            if isinstance(piece, str):
                content.append({"type": "text", "text": piece})
                continue
            url = f"data:{piece.mime};base64,{base64.b64encode(piece.data).decode()}"
            content.append(
                {"type": "image_url", "image_url": {"url": url} | ({"detail": s.detail} if s.detail else {})}
            )
        body: dict[str, Any] = {"model": s.model, s.max_tokens_name: s.max_output_tokens, **s.sampling.given()}
        form = self.form
        if form is None:
            return {**body, "messages": [{"role": "user", "content": content}]}
        if s.response == "json_schema":
            strict = {"name": "answer", "strict": True, "schema": _strict(form.schema())}
            body["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            content.append({"type": "text", "text": form.instruction()})
            if s.response == "json_object":
                body["response_format"] = {"type": "json_object"}
        if form.logprobs:
            body |= {"logprobs": True, "top_logprobs": LOGPROBS}
        return {**body, "messages": [{"role": "user", "content": content}]}

    def read(self, reply: Reply) -> Reading:
        """Read a reply; raises Unreadable."""
        found = object_in(reply)
        choice = first(part(found, "choices"))
        message, finish = part(choice, "message"), word(part(choice, "finish_reason"))
        refusal = word(part(message, "refusal"))
        blocked = f"answer, {refusal}" if refusal else "answer, content_filter" if finish == "content_filter" else None
        used = part(found, "usage")
        return Reading(
            text=joined(part(message, "content")),
            blocked=blocked,
            truncated=finish == "length",
            finish=finish,
            model_version=word(part(found, "model")),
            response_id=word(part(found, "id")),
            usage=Usage(
                prompt=number(part(used, "prompt_tokens")),
                output=number(part(used, "completion_tokens")),
                cached=number(part(part(used, "prompt_tokens_details"), "cached_tokens")),
            ),
            tokens=tokens_of_chat(part(choice, "logprobs")),
        )

    def count_tokens(self, question: Question) -> int | None:
        """Return None: the protocol has no such call."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""


def _strict(schema: Any) -> Any:
    """Return a schema as strict output wants it: closed objects, and no order beside that of the properties."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _strict(value) for name, value in schema.items() if name != "propertyOrdering"}
    return {**plain, "additionalProperties": False} if schema.get("type") == "object" else plain


def _connected(error: requests.RequestException) -> Kind:
    """Tell a server that cannot be reached from one that went away while it answered."""
    import requests

    tried = getattr(error.args[0], "reason", None) if error.args else None  # of urllib3, where no attempt got through
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "unreachable"
    return "unreachable" if isinstance(error, requests.ConnectionError) and tried is not None else "transport"


def _no_server(address: str, error: requests.RequestException) -> str:
    """Say that nothing answers at an address, why, and what to do."""
    cause = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return (
        f"no server answers at {address} ({str(cause).rpartition(': ')[2]}); start it, or give the address of one as "
        "pipeline.provider.access.base_url=…"
    )


def _explained(reply: Any) -> CallError:
    code = int(reply.status_code)
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        body = {}
    error = body.get("error") if isinstance(body, dict) else None
    facts = error if isinstance(error, dict) else {"message": error or reply.text}
    message = redact(f"{code} {facts.get('message') or reply.reason}")[:500]
    if code == 429:
        spent = "insufficient_quota" in (facts.get("code"), facts.get("type"))
        return CallError(message, kind="quota" if spent else "rate", retry_after=_delay(reply))
    if code in PASSING or code >= 500:
        return CallError(message, kind="server", retry_after=_delay(reply))
    return CallError(message, kind=refusal(code))


def _delay(reply: Any) -> float | None:
    try:
        return max(0.0, float(reply.headers.get("Retry-After", "")))
    except ValueError:
        return None
