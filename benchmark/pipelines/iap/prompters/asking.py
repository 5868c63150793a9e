"""One question to a language model through the providers that the vision-language pipelines use."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from benchmark.chat.providers.base import CallError, Provider, Raw, reading
from benchmark.chat.question import Question
from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError
from benchmark.core.settings import Settings
from benchmark.pipelines.iap.prompters.base import Answer, Request

log = logging.getLogger(__name__)
OTHERS = "or use prompter@pipeline.prompter=static, or =cached with the records of an earlier run"


class Retries(Settings):
    """What happens when a call gives no reply."""

    attempts: int = Field(ge=1)
    """Most attempts at one question."""
    first_delay_s: float = Field(ge=0)
    """Wait before the second attempt where the server names none; it doubles each time."""
    longest_delay_s: float = Field(gt=0)
    """Longest wait; a server that asks for more ends the run, which can go on later."""


def ask(provider: Provider, request: Request, retries: Retries, *, allow_model_drift: bool) -> Answer:
    """Ask for the defects of an object; the system message goes first.

    Args:
        allow_model_drift: take an answer of another model than the one that was asked.

    Raises:
        ConfigError: the key is missing.
        BenchmarkError: no reply after all attempts, or one of another model.
    """
    with own_keys():
        provider.open()
    try:
        raw = _reply(provider, Question(parts=(request.system, request.user), draw=0), request, retries)
    finally:
        provider.close()
    read = reading(provider, raw.body)
    if read.model_version not in (None, provider.model) and not allow_model_drift:
        raise BenchmarkError(
            f"{provider.name} was asked for {provider.model!r}, but {read.model_version!r} answered; name that "
            "model if it is the one that you want, or set pipeline.prompter.allow_model_drift=true"
        )
    facts: dict[str, Any] = {
        **provider.facts(),
        "software": raw.software,
        "model_version": read.model_version,
        "response_id": read.response_id,
        "finish": read.finish,
        "truncated": read.truncated,
        "tokens": {"prompt": read.usage.prompt, "output": read.usage.output},
    }
    return Answer(raw=read.text or "", facts=facts, withheld=read.blocked)


def _reply(provider: Provider, question: Question, request: Request, retries: Retries) -> Raw:
    """Send the question, again after failures that may pass."""
    delay = retries.first_delay_s
    for attempt in range(1, retries.attempts + 1):
        try:
            raw = provider.ask(question)
            if not reading(provider, raw.body).is_answer:
                raise CallError("the reply holds no answer", kind="server")
            return raw
        except CallError as error:
            wait = delay if error.retry_after is None else error.retry_after
            if not error.passing or attempt == retries.attempts or wait > retries.longest_delay_s:
                tried = f" after {attempt} attempts" if attempt > 1 else ""
                raise BenchmarkError(
                    f"category {request.category!r}: {provider.name} gives no prompts{tried}: {error}; run the same "
                    f"command again, {OTHERS}"
                ) from None
            log.warning("%s: attempt %d failed (%s), again in %.1f s", provider.name, attempt, error, wait)
        time.sleep(wait)
        delay = min(2 * delay, retries.longest_delay_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


@contextlib.contextmanager
def own_keys() -> Iterator[None]:
    """Name the config keys of the prompter in the errors of a provider, which knows those of a pipeline."""
    try:
        yield
    except (ConfigError, WeightsError) as error:
        text = str(error).replace("pipeline.provider.", "pipeline.prompter.provider.")
        text = text.replace("replay stored answers with pipeline.answers.mode=replay", OTHERS.removeprefix("or "))
        raise type(error)(text) from None
