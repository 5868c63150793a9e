"""Any model behind a chat-completions endpoint names the defects: vLLM, Ollama, llama.cpp, hosted models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.chat.form import Form
from benchmark.chat.providers.openai_compatible import OpenAICompatible, OpenAISettings
from benchmark.chat.question import Question
from benchmark.core.errors import ConfigError
from benchmark.pipelines.iap.prompters.asking import Retries, ask
from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.stages.context import Context


class Chat(OpenAICompatible):
    """The endpoint asked in plain text, the first part as the system's message."""

    def facts(self) -> dict[str, Any]:
        """Return what changes an answer beside the question."""
        return {name: value for name, value in super().facts().items() if name not in ("schema", "detail", "response")}

    def _body(self, question: Question) -> dict[str, Any]:
        system, user = question.parts
        s = self.settings
        return {
            "model": s.model,
            s.max_tokens_name: s.max_output_tokens,
            **s.sampling.given(),
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }


class OpenAIPrompter(Prompter):
    """Asks a chat-completions endpoint."""

    provider: OpenAISettings
    retries: Retries
    allow_model_drift: bool
    """Take an answer whose model has another name than the one that was asked; many servers use names of their own."""

    def identity(self) -> Mapping[str, Any]:
        """Return service, model and sampling; not the address, which changes no answer."""
        return {"kind": "openai_compatible", **self._chat().facts()}

    def check(self) -> None:
        """Raise ConfigError where structured answers are asked for."""
        if self.provider.response != "text":
            raise ConfigError("pipeline.prompter.provider.response must be text: prompts are read from plain text")

    def answer(self, context: Context, request: Request) -> Answer:
        """Ask, and ask again after failures that may pass."""
        return ask(self._chat(), request, self.retries, allow_model_drift=self.allow_model_drift)

    def _chat(self) -> Chat:
        return Chat(self.provider, form=Form(order="reasoning_first"))
