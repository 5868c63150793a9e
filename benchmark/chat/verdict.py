"""From a model's text to a label: the answer's schema, and its validation by this package."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.chat.json_objects import json_objects, read_json, without_thinking
from benchmark.core.samples import Outcome
from benchmark.core.text import each_text, encodable

Order = Literal["reasoning_first", "label_first"]
Label = Literal["OK", "NOK"]
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)


class Answer(BaseModel):
    """What a model must answer."""

    model_config = ConfigDict(extra="ignore", strict=True)
    reasoning: str
    label: Label


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that one call was billed for."""

    prompt: int = 0
    """Text and images sent, cached ones included."""
    output: int = 0
    """Answer and thinking."""
    cached: int = 0


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
    """``json``, ``fenced`` or ``embedded`` where valid; else ``bad_label``, ``not_json``, ``truncated``, ``empty``,
    ``blocked``, or ``failed``."""
    label: Label | None = None
    reasoning: str | None = None
    message: str | None = None


def schema(order: Order) -> dict[str, Any]:
    """Return the JSON schema of the answer; with reasoning first the model thinks before it labels."""
    fields = {
        "reasoning": {"type": "string", "description": "The specific reason for the label."},
        "label": {
            "type": "string",
            "enum": ["OK", "NOK"],
            "description": "NOK if the image contains an anomaly or defect, OK if it contains none.",
        },
    }
    names = ["reasoning", "label"] if order == "reasoning_first" else ["label", "reasoning"]
    return {"type": "object", "properties": {n: fields[n] for n in names}, "required": names, "propertyOrdering": names}


def instruction(order: Order) -> str:
    """Return the words that ask for the same JSON from a model without structured output."""
    first, second = (
        ('"reasoning": "…", ', '"label": "OK" or "NOK"')
        if order == "reasoning_first"
        else (
            '"label": "OK" or "NOK", ',
            '"reasoning": "…"',
        )
    )
    return (
        f"Answer with one JSON object and nothing else: {{{first}{second}}}. "
        "The label is NOK if the image contains an anomaly or defect, OK if it contains none."
    )


def judge(reading: Reading) -> Verdict:
    """Validate a reply: blocked, invalid, or ok with its label and reasoning.

    The last valid answer behind the model's thinking counts: what stands before it is a draft.
    """
    if reading.blocked:
        return Verdict(outcome="blocked", status="blocked", message=f"blocked: {reading.blocked}")
    if reading.unreadable:
        message = f"the reply cannot be read ({reading.unreadable})"
        return Verdict(outcome="invalid", status="not_json", message=message)
    text = (reading.text or "").strip()
    problem: str | None = None
    for found, status in reversed(_found(text)):
        try:
            answer = Answer.model_validate(each_text(found, encodable))
        except ValidationError as error:
            first = error.errors()[0]
            problem = problem or f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            continue
        return Verdict(outcome="ok", status=status, label=answer.label, reasoning=answer.reasoning)
    if problem is not None:
        return Verdict(outcome="invalid", status="bad_label", message=problem)
    if reading.truncated:
        return Verdict(outcome="invalid", status="truncated", message="the answer ended at the token limit")
    if not text:
        reason = f" (finish reason {reading.finish})" if reading.finish else ""
        return Verdict(outcome="invalid", status="empty", message=f"the answer is empty{reason}")
    return Verdict(outcome="invalid", status="not_json", message="the answer holds no JSON object")


def _found(text: str) -> list[tuple[dict[str, Any], str]]:
    """Return the JSON objects of a text in order, each with where it was found."""
    whole = _whole(text)
    if whole is not None:
        return [(whole, "json")]
    said = without_thinking(text).strip()
    whole = _whole(said)
    if whole is not None:
        return [(whole, "json")]
    fenced = {json.dumps(found) for block in _FENCE.findall(said) if (found := _whole(block)) is not None}
    return [(found, "fenced" if json.dumps(found) in fenced else "embedded") for found in json_objects(said)]


def _whole(text: str) -> dict[str, Any] | None:
    try:
        found = read_json(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
