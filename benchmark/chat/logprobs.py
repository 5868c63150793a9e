"""How likely a model holds the other label: from the log-probabilities of its answer's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from benchmark.chat.reply import items, part, word
from benchmark.chat.verdict import Token, Verdict

LOGPROBS = 5
"""Likeliest tokens that are asked for in each place, as many as all interfaces give."""
_VALUE = re.compile(r'"label"\s*:\s*"')


def token_in(one: Any, others: Sequence[Any], *, name: str, value: tuple[str, ...]) -> Token:
    """Read one token with its likeliest ones; what is no text or no logarithm of a probability is left out.

    Args:
        one: the token that was chosen (a JSON object).
        others: the likeliest ones in its place.
        name: of the field that holds a token's text.
        value: names of the field that holds its log-probability.
    """
    known: dict[str, float] = {}
    for each in (*others, one):
        text, logprob = word(part(each, name)), part(each, *value)
        is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
        if text is not None and is_number and logprob <= 0:  # not of NaN, nor of a number above a probability
            known.setdefault(text, max(float(logprob), -1e9) if abs(logprob) < 1e300 else -1e9)
    return Token(text=word(part(one, name)) or "", logprobs=tuple(known.items()))


def tokens_of_chat(found: Any) -> tuple[Token, ...]:
    """Read ``logprobs`` of a choice of chat completions."""
    return tuple(
        token_in(one, items(part(one, "top_logprobs")), name="token", value=("logprob",))
        for one in items(part(found, "content"))
    )


def probability(tokens: Sequence[Token], verdict: Verdict) -> float | None:
    """Return the probability of NOK against OK at the token in which the answer's label begins.

    Tokens that begin neither are left out, and a label that is not among the likeliest tokens has none.

    Args:
        tokens: of the answer.
        verdict: a valid one of the same answer.

    Returns:
        In [0, 1]; None where the label is not found in the tokens, or none of its beginnings is among the likeliest.
    """
    text = "".join(token.text for token in tokens)
    ends = [found.end() for found in _VALUE.finditer(text) if text[found.end() :].startswith(f'{verdict.label}"')]
    if not ends:
        return None
    at = 0
    for token in tokens:
        if at + len(token.text) > ends[-1]:
            return _share(token, before=token.text[: ends[-1] - at])
        at += len(token.text)
    return None


def _share(token: Token, *, before: str) -> float | None:
    """Return NOK's part of both labels' probability.

    Args:
        token: in which the label begins.
        before: what of the token stands in front of the label; other tokens must begin with it too.
    """
    mass = {"OK": 0.0, "NOK": 0.0}
    for text, logprob in token.logprobs:
        rest = text.removeprefix(before) if text.startswith(before) else ""
        for label in mass:
            if rest and (label.startswith(rest) or rest.startswith(f'{label}"')):
                mass[label] += math.exp(logprob)
    whole = mass["OK"] + mass["NOK"]
    return mass["NOK"] / whole if whole > 0 else None
