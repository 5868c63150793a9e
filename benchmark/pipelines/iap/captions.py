"""The texts that the detector is asked, none longer than it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.core.errors import ConfigError
from benchmark.pipelines.iap.terms import FIXED, distinct, parse_released

MOST_TOKENS = 256
"""BERT tokens that GroundingDINO reads of a caption, the two special ones included; the rest it would leave out."""


def tag_caption(tags: Sequence[str]) -> str:
    """Return the caption that looks for all tags of an image."""
    return "".join(f"{tag}. " for tag in distinct(tags)).strip()


def tag_caption_released(tags: Sequence[str]) -> str:
    """Return the same as the released code writes it (sybeam27/IAP-ZSAS:utils/function.py, process_single_image).

    ``close-up`` and ``number`` are deleted from the text, so that an empty phrase may stay.
    """
    text = " | ".join(tags).strip(" ").replace("  ", " ").replace(" |", ".")
    return text.replace("close-up", "").replace("number. ", "")


def prompt_caption(terms: Sequence[str], objects: Sequence[str]) -> str:
    """Return P_final: words for defects, the fixed words, the object's names; each a phrase of its own."""
    return ". ".join(distinct([*terms, *FIXED, *objects])) + "."


def prompt_caption_released(answers: Sequence[str], objects: Sequence[str]) -> str:
    """Return P_final as the released code writes it: one stretch an object, its name behind a comma.

    Args:
        answers: of the language model, as they came, one an object.
        objects: names of the objects.
    """
    stretches = [f" . {parse_released(text)}, {name}" for text, name in zip(answers, objects, strict=True)]
    return "".join(stretches) + "."


RELEASED_WITHOUT_ANSWER = "defect, abnormal"
"""The caption of the released ablation without the language model."""


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
    pieces = [piece for phrase in caption.split(".") if phrase.strip() for piece in _fitting(phrase, count, most)]
    captions: list[str] = []
    for piece in pieces:
        longer = f"{captions[-1]} {piece}." if captions else ""
        if longer and count(longer) <= most:
            captions[-1] = longer
        else:
            captions.append(f"{piece}.")
    return tuple(captions)


def _fitting(phrase: str, count: Callable[[str], int], most: int) -> list[str]:
    """Cut one phrase between words until every piece fits."""
    text = phrase.strip()
    if count(text + ".") <= most:
        return [text]
    words = text.split()
    if len(words) == 1:
        raise ConfigError(
            f"a word of the prompt has more than the {most} tokens that the detector reads: {text[:60]!r}…; "
            "correct the answer in its record below results/prompts, or use prompter@pipeline.prompter=static"
        )
    half = len(words) // 2
    return [piece for part in (words[:half], words[half:]) for piece in _fitting(" ".join(part), count, most)]
