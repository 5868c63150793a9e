"""What becomes of captions that are longer than GroundingDINO reads: cut off, asked in parts, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.core.errors import ConfigError
from benchmark.models.choice import ResolvedWeights
from benchmark.models.toy_tokenizer import SPECIAL, bert_tokenizer, toy_tokenizer

if TYPE_CHECKING:
    from benchmark.stages.context import Context

MOST_TOKENS = 256
"""BERT tokens that GroundingDINO reads of a caption, the two special ones included (``max_text_len``)."""
LongCaptions = Literal["truncate", "split", "refuse"]
"""``truncate``: the detector reads the first ``MOST_TOKENS`` tokens, as every released code of it does; ``split``: the
phrases are asked in several captions, none is lost; ``refuse``: an error. Whatever is cut off is told."""
Pieces = Callable[[str], Sequence[str]]
"""From a text to its word pieces, special tokens included."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Captions as they go to the detector."""

    captions: tuple[str, ...]
    question: tuple[int, ...]
    """For each caption which of the given ones it is, or is a part of."""
    notes: tuple[str, ...]
    """What was cut off, a sentence each."""


def fit(
    captions: Sequence[str],
    pieces: Pieces,
    *,
    how: LongCaptions,
    most: int = MOST_TOKENS,
    reader: str = "GroundingDINO",
) -> Fitted:
    """Return captions as the detector is asked them.

    Args:
        captions: normalised: lower case, ended by a full stop.
        pieces: word pieces of a text.
        how: what becomes of a caption of more than ``most`` tokens.
        reader: name of the detector, for messages.

    Raises:
        ConfigError: a caption is too long and ``how`` is ``refuse``; or a word alone is, and it is ``split``.
    """
    asked: list[str] = []
    question: list[int] = []
    notes: list[str] = []
    for number, caption in enumerate(captions):
        parts: tuple[str, ...] = (caption,)
        # No text has more pieces than bytes, so that a short one needs no tokenizer.
        if len(caption.encode()) + 2 > most and len(found := pieces(caption)) > most:
            if how == "refuse":
                raise ConfigError(
                    f"the text {_short(caption)!r} has {len(found)} tokens, {reader} reads {most}: shorten it, "
                    "make several of it, or set pipeline.detector.long_captions=truncate or split"
                )
            if how == "truncate":
                notes.append(
                    f"the detector reads {most} of the {len(found)} tokens of the text {_short(caption)!r}; "
                    f"left out: {spelt(found[most:])!r}"
                )
            else:
                parts = split_caption(caption, lambda text: len(pieces(text)), most=most)
        asked += parts
        question += [number] * len(parts)
    return Fitted(captions=tuple(asked), question=tuple(question), notes=tuple(notes))


def split_caption(caption: str, count: Callable[[str], int], *, most: int = MOST_TOKENS) -> tuple[str, ...]:
    """Cut a caption into captions of at most ``most`` tokens, between phrases where that is possible.

    A phrase that is too long by itself is cut between words. Nothing is left out.

    Args:
        caption: phrases that end with a full stop.
        count: tokens of a text, special ones included.

    Raises:
        ConfigError: a single word is longer than the detector reads.
    """
    if count(caption) <= most:
        return (caption,)
    phrases = [piece for phrase in caption.split(".") if phrase.strip() for piece in _fitting(phrase, count, most)]
    captions: list[str] = []
    for piece in phrases:
        longer = f"{captions[-1]} {piece}." if captions else ""
        if longer and count(longer) <= most:
            captions[-1] = longer
        else:
            captions.append(f"{piece}.")
    return tuple(captions)


def word_pieces(context: Context, tokenizer: ResolvedWeights) -> Pieces:
    """Return what cuts a text into word pieces; the tokenizer is read at the first text."""
    vocabulary: Path | None = tokenizer.files.get("vocab.txt")

    def load() -> Any:
        return toy_tokenizer() if vocabulary is None else bert_tokenizer(vocabulary)

    def read(text: str) -> Sequence[str]:
        loaded = context.model(("tokenizer", tokenizer.sha256), load)
        pieces: list[str] = loaded.convert_ids_to_tokens(loaded(text, truncation=False)["input_ids"])
        return pieces

    return read


def spelt(pieces: Sequence[str]) -> str:
    """Spell word pieces for a message, special tokens left out."""
    return " ".join(piece for piece in pieces if piece not in SPECIAL).replace(" ##", "").removeprefix("##")


def _short(caption: str) -> str:
    return caption if len(caption) <= 60 else f"{caption[:57]}..."


def split_phrase(phrase: str, count: Callable[[str], int], *, most: int) -> tuple[str, ...]:
    """Cut one phrase between words into phrases of at most ``most`` tokens each, full stop included.

    Raises:
        ConfigError: a single word is longer than the detector reads.
    """
    return tuple(_fitting(phrase, count, most))


def _fitting(phrase: str, count: Callable[[str], int], most: int) -> list[str]:
    """Cut one phrase between words until every piece fits."""
    text = phrase.strip()
    if count(text + ".") <= most:
        return [text]
    words = text.split()
    if len(words) == 1:
        raise ConfigError(
            f"a word of the prompt has more than the {most} tokens that the detector reads: {text[:60]!r}…; correct "
            "it (in IAP-AS the answer in its record below results/prompts, or use prompter@pipeline.prompter=static)"
        )
    half = len(words) // 2
    return [piece for part in (words[:half], words[half:]) for piece in _fitting(" ".join(part), count, most)]
