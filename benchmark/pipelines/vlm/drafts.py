"""From samples to questions that are not yet encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.chat.question import Draft, Question, SentImage, digest
from benchmark.core.errors import DataError
from benchmark.core.samples import Sample
from benchmark.data.align import AlignSettings
from benchmark.pipelines.vlm.prepare import VERSION, ImageSettings, Reference, prepare
from benchmark.pipelines.vlm.prompting import Layout

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Drafter:
    """Makes the questions about a sample."""

    provider: Mapping[str, Any]
    """What the provider says of itself."""
    texts: Mapping[str, str]
    """Category to prompt."""
    references: Mapping[str, Reference]
    """Category to reference; empty: none."""
    shown: bool
    """Whether the reference is sent."""
    layout: Layout
    image: ImageSettings
    align: AlignSettings
    draws: int

    def drafts(self, sample: Sample, decode: Callable[[], Image]) -> list[Draft]:
        """Return one draft for each draw; the image is decoded and prepared once for all of them, when asked for.

        Args:
            sample: the image.
            decode: returns it, (H, W, 3) uint8 RGB.
        """
        reference = self.references.get(sample.category)
        prompt = self.texts[sample.category]
        facts = {
            "provider": dict(self.provider),
            "preparation": VERSION,
            "image": sample.sha256,
            "reference": None if reference is None else reference.sha256,
            "shown": self.shown and reference is not None,
            "align": self.align.model_dump() if reference is not None else None,
            "encoding": self.image.model_dump(),
            "layout": self.layout.model_dump(mode="json"),
            "prompt": prompt,
        }

        @cache
        def prepared() -> tuple[SentImage, dict[str, Any]]:
            return prepare(decode(), reference, settings=self.image, aligning=self.align, where=str(sample.image))

        def question(draw: int) -> tuple[Question, dict[str, Any]]:
            sent, done = prepared()
            shown = reference.sent if reference is not None and self.shown else None
            parts = self.layout.parts(reference=shown, image=sent, prompt=prompt)
            return Question(parts=parts, draw=draw), done

        return [
            Draft(sample_id=sample.id, recipe=digest({**facts, "draw": draw}), make=_bound(question, draw))
            for draw in range(self.draws)
        ]

    def all(
        self, images: Iterable[tuple[Sample, Image]], *, unusable: Callable[[Sample, DataError], None]
    ) -> Iterator[tuple[Sample, list[Draft]]]:
        """Yield every sample with its drafts, its image prepared.

        Args:
            images: samples with their images.
            unusable: told of a sample whose image cannot be prepared; raises where that ends the run.
        """
        for sample, image in images:
            drafts = self.drafts(sample, _given(image))
            try:
                drafts[0].make()
            except DataError as error:
                unusable(sample, error)
                continue
            yield sample, drafts


def _bound(question: Callable[[int], tuple[Question, dict[str, Any]]], draw: int) -> Any:
    return lambda: question(draw)


def _given(image: Image) -> Callable[[], Image]:
    return lambda: image
