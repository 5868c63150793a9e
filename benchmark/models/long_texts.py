"""What becomes of texts that are longer than a network of images and texts reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.core.errors import ConfigError

LongTexts = Literal["truncate", "refuse"]
"""``truncate``: the network reads a text's first tokens and then its end token, as open_clip does, and what is left out
is told; ``refuse``: an error, as with OpenAI's clip."""


@dataclass(frozen=True, kw_only=True)
class TextReader:
    """How many tokens of a text a network reads, and how a text becomes tokens."""

    encode: Callable[[str], Sequence[int]]
    """From a text to its tokens, special ones included, however many they are; the last is an end token."""
    decode: Callable[[Sequence[int]], str]
    """Back to a text, for messages."""
    most: int
    """Tokens that the network reads, special ones included."""

    def check(self, prompts: Sequence[str], how: LongTexts) -> str | None:
        """Return what of some prompts is not read, in a sentence; None: all of them are read whole.

        Raises:
            ConfigError: one is too long and ``how`` is ``refuse``.
        """
        long = {prompt: tokens for prompt in prompts if len(tokens := self.encode(prompt)) > self.most}
        if not long:
            return None
        prompt, tokens = next(iter(long.items()))
        if how == "refuse":
            raise ConfigError(
                f"the text {prompt!r} has {len(tokens)} tokens, the network reads {self.most}: shorten it, "
                "or set long_texts=truncate"
            )
        left_out = self.decode(tokens[self.most - 1 : -1]).strip()
        more = f", and so of {len(long) - 1} more" if len(long) > 1 else ""
        return (
            f"the network reads {self.most} of the {len(tokens)} tokens of the text {_short(prompt)!r}; "
            f"left out: {left_out!r}{more}"
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
