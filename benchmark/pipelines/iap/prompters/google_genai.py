"""Gemini names the defects, through google-genai."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.chat.form import Form
from benchmark.chat.providers.google import Google, GoogleSettings
from benchmark.core.errors import ConfigError
from benchmark.pipelines.iap.prompters.asking import Retries, ask, own_keys
from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.stages.context import Context


class GooglePrompter(Prompter):
    """Asks Gemini; both messages go as texts of one turn, and the answer is plain text."""

    provider: GoogleSettings
    retries: Retries
    allow_model_drift: bool
    """Take the answer of another model than the one that was asked."""

    def identity(self) -> Mapping[str, Any]:
        """Return provider, model and sampling."""
        return {"kind": "google_genai", **self._google().facts()}

    def check(self) -> None:
        """Raise ConfigError for settings that the model's generation ignores, or an answer that is not text."""
        if self.provider.response != "text":
            raise ConfigError("pipeline.prompter.provider.response must be text: prompts are read from plain text")
        self._google()

    def answer(self, context: Context, request: Request) -> Answer:
        """Ask, and ask again after failures that may pass."""
        return ask(self._google(), request, self.retries, allow_model_drift=self.allow_model_drift)

    def _google(self) -> Google:
        with own_keys():
            return Google(self.provider, form=Form(order="reasoning_first"))
