"""From a model's text to a label: its validation by this package."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.chat.form import Form
from benchmark.chat.json_objects import json_objects, read_json, without_thinking
from benchmark.chat.places import confidence_in
from benchmark.core.samples import Outcome
from benchmark.core.text import each_text, encodable

Label = Literal["OK", "NOK"]
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)


class Answer(BaseModel):
    """What a model must answer."""

    model_config = ConfigDict(extra="ignore", strict=True)
    reasoning: str
    label: Label
    confidence: Any = None
    """Read where the form asks for it."""
    defects: Any = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that one call was billed for."""

    prompt: int = 0
    """Text and images sent, cached ones included."""
    output: int = 0
    """Answer and thinking."""
    cached: int = 0


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token of an answer, and what else might have stood in its place."""

    text: str
    logprobs: tuple[tuple[str, float], ...]
    """(token, natural logarithm of its probability) of the likeliest ones."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The parts of a raw reply that matter, whichever provider it came from."""

    text: str | None
    blocked: str | None = None
    """Why the prompt or the answer was blocked."""
    truncated: bool = False
    finish: str | None = None
    model_version: str | None = None
    response_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    tokens: tuple[Token, ...] = ()
    """Of the answer, where log-probabilities were asked for and given."""
    unreadable: str | None = None
    """Why the reply cannot be read, though it is one."""

    @property
    def is_answer(self) -> bool:
        """Whether the model did anything: a reply without text, block or output tokens is asked for again."""
        return bool(self.text or self.blocked or self.truncated or self.unreadable or self.usage.output)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one reply says."""

    outcome: Outcome
    status: str
    """``json``, ``fenced``, ``embedded`` or ``list`` where valid; else ``bad_label``, ``bad_defects``, ``not_json``,
    ``truncated``, ``empty``, ``blocked``, or ``failed``."""
    label: Label | None = None
    reasoning: str | None = None
    confidence: float | None = None
    """Of the label, in [0, 1]; None where none was asked for or given."""
    defects: tuple[Any, ...] = ()
    """The places that were named, as they came (JSON values); see ``read_places``."""
    message: str | None = None


def judge(reading: Reading, form: Form) -> Verdict:
    """Validate a reply: blocked, invalid, or ok with its label and reasoning.

    The last valid answer behind the model's thinking counts: what stands before it is a draft. Where places are asked
    for, a bare list of them is an answer too, as models write it that were trained to point: NOK if it holds any.
    """
    if reading.blocked:
        return Verdict(outcome="blocked", status="blocked", message=f"blocked: {reading.blocked}")
    if reading.unreadable:
        message = f"the reply cannot be read ({reading.unreadable})"
        return Verdict(outcome="invalid", status="not_json", message=message)
    text = (reading.text or "").strip()
    problem: str | None = None
    status = "bad_label"
    for found, where in reversed(_found(text, lists=form.places)):
        try:
            answer = Answer.model_validate(each_text(found, encodable))
        except ValidationError as error:
            first = error.errors()[0]
            problem = problem or f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            continue
        if form.places and not isinstance(answer.defects, list):
            status, problem = ("bad_defects", "defects: must be a list") if problem is None else (status, problem)
            continue
        return Verdict(
            outcome="ok",
            status=where,
            label=answer.label,
            reasoning=answer.reasoning,
            confidence=confidence_in(answer.confidence) if form.confidence else None,
            defects=tuple(answer.defects) if form.places else (),
        )
    if problem is not None:
        return Verdict(outcome="invalid", status=status, message=problem)
    if reading.truncated:
        return Verdict(outcome="invalid", status="truncated", message="the answer ended at the token limit")
    if not text:
        reason = f" (finish reason {reading.finish})" if reading.finish else ""
        return Verdict(outcome="invalid", status="empty", message=f"the answer is empty{reason}")
    return Verdict(outcome="invalid", status="not_json", message="the answer holds no JSON object")


def _found(text: str, *, lists: bool) -> list[tuple[dict[str, Any], str]]:
    """Return the JSON objects of a text in order, each with where it was found; a list of places becomes one."""
    whole = _whole(text)
    if isinstance(whole, dict):
        return [(whole, "json")]
    answer = without_thinking(text).strip()
    whole = _whole(answer)
    if isinstance(whole, dict):
        return [(whole, "json")]
    blocks = [_whole(block) for block in _FENCE.findall(answer)]
    pointed = [found for found in (whole, *blocks) if lists and isinstance(found, list)][-1:]
    listed = [({"reasoning": "", "label": "NOK" if last else "OK", "defects": last}, "list") for last in pointed]
    fenced = {json.dumps(found) for found in blocks if isinstance(found, dict)}
    objects = [(found, "fenced" if json.dumps(found) in fenced else "embedded") for found in json_objects(answer)]
    return [*listed, *objects]


def _whole(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return None
