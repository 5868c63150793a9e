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
from benchmark.pipelines.vlm.prepare import VERSION, ImageSettings, alike, frame, prepare
from benchmark.pipelines.vlm.prompting import Layout
from benchmark.pipelines.vlm.references import Find

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Drafter:
    """Makes the questions about a sample."""

    provider: Mapping[str, Any]
    """What the provider says of itself."""
    texts: Mapping[str, str]
    """Category to prompt."""
    references: Find
    shown: bool
    """Whether the references are sent."""
    layout: Layout
    image: ImageSettings
    align: AlignSettings
    draws: int
    places: bool = False
    """Whether an answer depends on how the image lies in its file."""

    def drafts(self, sample: Sample, decode: Callable[[], Image]) -> list[Draft]:
        """Return one draft for each draw; the image is decoded and prepared once for all of them, when asked for.

        Args:
            sample: the image.
            decode: returns it, (H, W, 3) uint8 RGB.
        """
        references = self.references(sample)
        first = references[0] if references else None
        hashes = [reference.sha256 for reference in references]
        prompt = self.texts[sample.category]
        facts = {
            "provider": dict(self.provider),
            "preparation": VERSION,
            "image": sample.sha256,
            "reference": hashes if len(hashes) > 1 else hashes[0] if hashes else None,
            "shown": self.shown and bool(references),
            "align": self.align.model_dump() if references else None,
            "encoding": self.image.model_dump(),
            "layout": self.layout.model_dump(mode="json"),
            "prompt": prompt,
        }

        @cache
        def prepared() -> tuple[SentImage, dict[str, Any]]:
            return prepare(decode(), first, settings=self.image, aligning=self.align, where=str(sample.image))

        def question(draw: int) -> tuple[Question, dict[str, Any]]:
            sent, done = prepared()
            shown = [reference.sent for reference in references] if self.shown else []
            parts = self.layout.parts(references=shown, image=sent, prompt=prompt)
            return Question(parts=parts, draw=draw, frame=frame(done) if self.places else None), done

        return [
            Draft(sample_id=sample.id, recipe=digest({**facts, "draw": draw}), make=_bound(question, draw), alike=alike)
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
            try:
                drafts = self.drafts(sample, _given(image))
                drafts[0].make()
            except DataError as error:
                unusable(sample, error)
                continue
            yield sample, drafts


def _bound(question: Callable[[int], tuple[Question, dict[str, Any]]], draw: int) -> Any:
    return lambda: question(draw)


def _given(image: Image) -> Callable[[], Image]:
    return lambda: image
