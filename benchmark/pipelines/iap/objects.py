"""From the tags of good images to the names of the object (step 1-1 of the paper)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights
from benchmark.models.detector import Detector
from benchmark.models.grounding_dino import normalise, phrase
from benchmark.models.sam_stages import detection_stage, detections
from benchmark.models.toy_tokenizer import SPECIAL
from benchmark.pipelines.iap.captions import tag_caption, tag_caption_released
from benchmark.pipelines.iap.taggers.base import ImageTags
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context

Words = Literal["plain", "released_code", "released_code_saa"]
"""Which tokens above the text threshold make an object's name: ``plain``: its words, without full stops and special
tokens; ``released_code``: all but the first token and those from the 256th on, so that ``.`` and ``[SEP]`` stay, as the
``utils`` of IDEA-Research/GroundingDINO spells them (``left_idx=0``, ``right_idx=255``), whose ``predict`` IAP-AS
calls; ``released_code_saa``: ``[CLS]`` too, as the copy of it does that SAA and groundingdino-py carry."""


class ObjectSettings(Settings):
    """How a category's object gets its name."""

    choice: Literal["detector", "vote"]
    """``detector``: the words of the best box that the detector finds for an image's tags, best over all images;
    ``vote``: the tags seen on most images."""
    number: int = Field(ge=1)
    """Names that are kept (the released code: 1; Table 2 of the paper shows up to 2)."""
    dropped_words: tuple[str, ...]
    """Tags with one of these words do not count: defects, colours."""
    tag_caption: Literal["plain", "released_code"]
    """How tags become the detector's caption."""
    words: Words
    """Which of the best box's words make the name."""


@dataclass(frozen=True, kw_only=True)
class Name:
    """What the object may be called."""

    text: str
    score: float | None
    """The detector's, None where it was not asked."""


def without_words(images: Iterable[ImageTags], dropped: Sequence[str]) -> list[ImageTags]:
    """Take away the tags that have one of the words; images without any tag left are left out."""
    bad = {word.casefold() for word in dropped}

    def clean(word: str) -> bool:
        return word.casefold() not in bad and not bad.intersection(word.casefold().split())

    kept = [ImageTags(sample=i.sample, tags=tuple(t for t in i.tags if clean(t.word))) for i in images]
    return [image for image in kept if image.tags]


def by_vote(images: Sequence[ImageTags], number: int) -> tuple[Name, ...]:
    """Return the tags that were seen on most images; of equals the surest, then the first in the alphabet."""
    seen = Counter(word for image in images for word in {tag.word for tag in image.tags})
    surest: dict[str, float] = {}
    for image in images:
        for tag in image.tags:
            surest[tag.word] = max(surest.get(tag.word, 0.0), tag.score or 0.0)
    ranked = sorted(seen, key=lambda word: (-seen[word], -surest[word], word))
    return tuple(Name(text=word, score=None) for word in ranked[:number])


def by_detector(
    context: Context,
    detector: Detector,
    chosen: Mapping[str, ResolvedWeights],
    images: Sequence[ImageTags],
    settings: ObjectSettings,
    *,
    box_threshold: float,
    text_threshold: float,
) -> tuple[tuple[Name, ...], tuple[str, ...]]:
    """Return the phrases with the best boxes over all images, none where the detector finds none; what was cut off.

    Every image is asked its own tags; its best box gives one phrase, and a phrase's score is its best over the
    images (sybeam27/IAP-ZSAS:test_zsas.py; the non-maximum suppression there never drops the best box).

    Args:
        box_threshold: boxes with a higher score are kept.
        text_threshold: word pieces with a higher probability make up a box's words.
    """
    write = tag_caption_released if settings.tag_caption == "released_code" else tag_caption
    best: dict[str, float] = {}
    notes: dict[str, None] = {}
    for image in images:
        asked = detector.fit(context, chosen, [normalise(write([tag.word for tag in image.tags]))])
        notes |= dict.fromkeys(asked.notes)
        stage = detection_stage(context, detector, chosen, captions=asked.captions)
        for _, artifact in context.run(stage, [image.sample]):
            limits = {"box_threshold": box_threshold, "text_threshold": text_threshold}
            found = best_phrase(artifact, **limits, words=settings.words)
            if found is not None and (found.text or settings.words != "plain"):
                best[found.text] = max(best.get(found.text, 0.0), found.score or 0.0)
    ranked = sorted(best, key=lambda text: (-best[text], text))
    names = (Name(text=text, score=round(best[text], 6)) for text in ranked[: settings.number])
    return tuple(names), tuple(notes)


def best_phrase(artifact: Artifact, *, box_threshold: float, text_threshold: float, words: Words) -> Name | None:
    """Return the words and the score of an image's best box; None where there is no box."""
    found = detections(artifact)
    if not len(found.scores) or found.scores.max() <= np.float32(box_threshold):
        return None
    best = int(found.scores.argmax())
    pieces, tokens = artifact["pieces"][int(found.caption[best])], found.tokens[best].copy()
    if words == "released_code":
        tokens[:1], tokens[RIGHT_END:] = 0, 0
    spelt = phrase(pieces, tokens, text_threshold)
    return Name(text=plain_phrase(spelt) if words == "plain" else spelt, score=float(found.scores[best]))


RIGHT_END = 255
"""From this token on ``released_code`` reads no words."""


def plain_phrase(text: str) -> str:
    """Take the special tokens and full stops out of the detector's words."""
    for token in SPECIAL:
        text = text.replace(token, " ")
    return " ".join(text.replace(".", " ").split())
