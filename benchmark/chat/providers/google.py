"""Gemini through google-genai: the developer API and the enterprise one."""

from __future__ import annotations

import base64
import os
import threading
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from benchmark.chat.access import HttpAccess
from benchmark.chat.form import Form
from benchmark.chat.logprobs import LOGPROBS, token_in
from benchmark.chat.profiles import Sampling, Thinking, check, profile_of
from benchmark.chat.providers.base import Raw
from benchmark.chat.providers.google_errors import calls
from benchmark.chat.question import Question, digest
from benchmark.chat.reply import Reply, body_text, first, items, joined, number, object_in, part, word
from benchmark.chat.secrets import api_key
from benchmark.chat.verdict import Reading, Token, Usage
from benchmark.core.deadline import within
from benchmark.core.errors import ConfigError
from benchmark.core.settings import Settings

if TYPE_CHECKING:
    from google.genai import Client, types

BLOCKS = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"}
    | {"IMAGE_RECITATION", "MODEL_ARMOR"}
)
"""Finish reasons that mean that the answer was withheld."""
HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


class GoogleAccess(HttpAccess):
    """How the API is reached; nothing here changes an answer."""

    project: str | None
    """Enterprise: Google Cloud project; null: GOOGLE_CLOUD_PROJECT."""
    location: str | None
    """Enterprise: region; null: GOOGLE_CLOUD_LOCATION, else global."""


class GoogleSettings(Settings):
    """The provider ``google``."""

    toy = None

    kind: Literal["google"]
    model: str
    profile: Literal["auto", "2.5", "3", "3.6"]
    backend: Literal["developer", "enterprise"]
    api_version: Literal["v1", "v1beta", "v1beta1"]
    sampling: Sampling
    thinking: Thinking
    max_output_tokens: int = Field(ge=16)
    """Thinking takes from it too."""
    media_resolution: Literal["low", "medium", "high"] | None
    safety: Literal["off", "default"]
    """``off`` asks the service not to block by harm category; blocks are counted all the same."""
    response: Literal["json_schema", "schema", "text"]
    access: GoogleAccess

    @field_validator("model")
    @classmethod
    def _bare(cls, value: str) -> str:
        if "/" in value:
            raise ValueError("give the bare name, such as gemini-3.8-flash")
        return value


class Google:
    """One Gemini model."""

    name = "google"

    def __init__(self, settings: GoogleSettings, *, form: Form | None) -> None:
        """Check the settings against the model's generation; nothing is connected yet.

        Without a form nothing is said of the answer's.
        """
        check(profile_of(settings.model, settings.profile), settings.model, settings.sampling, settings.thinking)
        self.settings = settings
        self.model = settings.model
        self.form = form
        self._client: Client | None = None
        self._lock = threading.Lock()

    def facts(self) -> dict[str, Any]:
        """Return what changes an answer beside the question."""
        s = self.settings
        return {
            "provider": self.name,
            "backend": s.backend,
            "model": s.model,
            "api_version": s.api_version,
            "sampling": s.sampling.given(),
            "thinking": s.thinking.model_dump(),
            "max_output_tokens": s.max_output_tokens,
            "media_resolution": s.media_resolution,
            "safety": s.safety,
            "response": "text" if self.form is None else s.response,
            "schema": self._schema_digest(),
            **({"logprobs": LOGPROBS} if self._logprobs else {}),
        }

    def _schema_digest(self) -> str | None:
        if self.settings.response == "text" or self.form is None:
            return digest(self._words) if self._words else None
        return digest([self.form.order, self.form.schema()])

    @property
    def _words(self) -> tuple[str, ...]:
        """What asks for the JSON of places and confidence where no schema is sent; labels are left to the prompt."""
        form = self.form
        told = self.settings.response == "text" and form is not None and (form.places or form.confidence)
        return (form.instruction(),) if told and form is not None else ()

    @property
    def _logprobs(self) -> bool:
        return self.form is not None and self.form.logprobs

    def open(self) -> None:
        """Build the client; raises ConfigError where the key or the credentials are missing."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()

    def _connect(self) -> Client:
        from google import genai
        from google.genai import types

        s, access = self.settings, self.settings.access
        options = types.HttpOptions(
            base_url=access.base_url,
            api_version=s.api_version,
            timeout=int(access.timeout_s * 1000),
            client_args={"follow_redirects": False},  # the key goes to no other place
        )
        if s.backend == "developer":
            names = (access.key_env,) if access.key_env else ("GOOGLE_API_KEY", "GEMINI_API_KEY")
            key = api_key(*names, fix="replay stored answers with pipeline.answers.mode=replay")
            return genai.Client(api_key=key, enterprise=False, http_options=options)
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        except DefaultCredentialsError:
            raise ConfigError(
                "no Google Cloud credentials: run `gcloud auth application-default login`, "
                "or replay stored answers with pipeline.answers.mode=replay"
            ) from None
        project = access.project or os.environ.get("GOOGLE_CLOUD_PROJECT") or project
        if not project:
            raise ConfigError("no Google Cloud project: set GOOGLE_CLOUD_PROJECT or pipeline.provider.access.project")
        place = access.location or os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"
        return genai.Client(
            enterprise=True, project=project, location=place, credentials=credentials, http_options=options
        )

    @property
    def client(self) -> Client:
        """The SDK's client, connected at the first use."""
        self.open()
        assert self._client is not None
        return self._client

    def ask(self, question: Question) -> Raw:
        """Send one question; raises CallError."""
        from google.genai import __version__

        contents, config, models = self._contents(question), self._config(), self.client.models
        with calls():
            reply = within(
                self.settings.access.timeout_s,
                lambda: models.generate_content(model=self.model, contents=contents, config=config),
            )
        body = reply.sdk_http_response.body if reply.sdk_http_response else None
        return Raw(body=body_text(body or ""), software=f"google-genai {__version__}")

    def _contents(self, question: Question) -> types.ContentListUnionDict:
        from google.genai import types

        parts = [
            types.Part.from_text(text=p) if isinstance(p, str) else types.Part.from_bytes(data=p.data, mime_type=p.mime)
            for p in (*question.parts, *self._words)
        ]
        return [types.Content(role="user", parts=parts)]

    def _config(self) -> types.GenerateContentConfig:
        from google.genai import types

        as_it_came = {"should_return_http_response": True}  # kept before it is understood
        return types.GenerateContentConfig.model_validate(self._generation() | self._safety() | as_it_came)

    def _generation(self) -> dict[str, Any]:
        """The generation settings in the SDK's names, which are the API's in snake case."""
        s = self.settings
        made: dict[str, Any] = {"max_output_tokens": s.max_output_tokens, **s.sampling.given()}
        if s.thinking.level is not None:
            made["thinking_config"] = {"thinking_level": s.thinking.level}
        elif s.thinking.budget is not None:
            made["thinking_config"] = {"thinking_budget": s.thinking.budget}
        if s.media_resolution is not None:
            made["media_resolution"] = f"MEDIA_RESOLUTION_{s.media_resolution.upper()}"
        if s.response != "text" and self.form is not None:
            made["response_mime_type"] = "application/json"
            made["response_json_schema" if s.response == "json_schema" else "response_schema"] = self.form.schema()
        if self._logprobs:
            made |= {"response_logprobs": True, "logprobs": LOGPROBS}
        return made

    def _safety(self) -> dict[str, Any]:
        if self.settings.safety == "default":
            return {}
        return {"safety_settings": [{"category": f"HARM_CATEGORY_{harm}", "threshold": "BLOCK_NONE"} for harm in HARMS]}

    def batch_request(self, question: Question) -> dict[str, Any]:
        """Return the question as one request of a batch file (the API's JSON)."""
        parts = [
            {"text": p}
            if isinstance(p, str)
            else {"inline_data": {"mime_type": p.mime, "data": base64.b64encode(p.data).decode()}}
            for p in (*question.parts, *self._words)
        ]
        return {
            "contents": [{"role": "user", "parts": parts}],
            "generation_config": self._generation(),
            **self._safety(),
        }

    def read(self, reply: Reply) -> Reading:
        """Read a reply, or a line of a batch's results; raises Unreadable. Thought parts are not part of the text."""
        found = object_in(reply)
        found = part(found, "response") if "response" in found else found
        candidate = first(part(found, "candidates"))
        finish = word(part(candidate, "finishReason", "finish_reason"))
        feedback = word(part(part(found, "promptFeedback", "prompt_feedback"), "blockReason", "block_reason"))
        blocked = f"prompt, {feedback}" if feedback else f"answer, {finish}" if finish in BLOCKS else None
        used = part(found, "usageMetadata", "usage_metadata")
        thoughts = number(part(used, "thoughtsTokenCount", "thoughts_token_count"))
        return Reading(
            text=joined(part(part(candidate, "content"), "parts")),
            blocked=blocked,
            truncated=finish in ("MAX_TOKENS", "CONTINUATION"),
            finish=finish,
            model_version=word(part(found, "modelVersion", "model_version")),
            response_id=word(part(found, "responseId", "response_id")),
            usage=Usage(
                prompt=number(part(used, "promptTokenCount", "prompt_token_count")),
                output=number(part(used, "candidatesTokenCount", "candidates_token_count")) + thoughts,
                cached=number(part(used, "cachedContentTokenCount", "cached_content_token_count")),
            ),
            tokens=_tokens(part(candidate, "logprobsResult", "logprobs_result")),
        )

    def count_tokens(self, question: Question) -> int | None:
        """Ask the service for the prompt's tokens (not billed)."""
        contents, models = self._contents(question), self.client.models
        with calls():
            counted = within(
                self.settings.access.timeout_s, lambda: models.count_tokens(model=self.model, contents=contents)
            )
        return counted.total_tokens

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def _tokens(found: Any) -> tuple[Token, ...]:
    chosen = items(part(found, "chosenCandidates", "chosen_candidates"))
    likely = items(part(found, "topCandidates", "top_candidates"))
    return tuple(
        token_in(one, items(part(others, "candidates")), name="token", value=("logProbability", "log_probability"))
        for one, others in zip_longest(chosen, likely[: len(chosen)])
    )
