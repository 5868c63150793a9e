"""The texts that the detector is asked."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.pipelines.iap.terms import FIXED, distinct, parse_released


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
