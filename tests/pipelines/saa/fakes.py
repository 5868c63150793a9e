"""A detector, a mask decoder and a feature network with fixed answers, so that whole maps can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmark.core.samples import MaskSet
from benchmark.models.grounding_dino import Detections
from benchmark.models.sam import Embedded, ScoredMasks
from benchmark.models.sam_stages import DetectorSettings, SamSettings
from benchmark.pipelines.saa.levels import Levels
from benchmark.pipelines.saa.stages import SaliencySettings

Box = tuple[float, float, float, float]
"""Centre x, centre y, width, height as fractions of the image."""


@dataclass
class FakeModels:
    """Answers by caption; the words of a box are whole words of its caption."""

    answers: Mapping[str, Sequence[tuple[Box, float, str]]]
    """Caption to (box, score, words); every other caption finds nothing."""
    seed: int = 0
    """Of the features."""
    calls: dict[str, int] = field(default_factory=dict)
    channels: list[NDArray[np.uint8]] = field(default_factory=list)
    """First pixel of every image that SAM or the feature network saw."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the fakes in place of the real networks."""
        monkeypatch.setattr(DetectorSettings, "load", lambda *_: self)
        monkeypatch.setattr(SamSettings, "load", lambda *_: self)

        def each(settings, context, chosen, images, work, *, side=None):  # type: ignore[no-untyped-def]
            return [work(n, self.levels(image, side or settings.backbone.side)) for n, image in enumerate(images)]

        monkeypatch.setattr(SaliencySettings, "each", each)

    def count(self, name: str) -> None:
        """Count a call."""
        self.calls[name] = self.calls.get(name, 0) + 1

    def pieces(self, captions: Sequence[str]) -> list[list[str]]:
        """Return the words of each caption, special tokens around them."""
        return [["[CLS]", *caption.removesuffix(".").split(" "), "[SEP]"] for caption in captions]

    def detect(self, image: NDArray[np.uint8], captions: Sequence[str], *, floor: float) -> Detections:
        """Return the fixed boxes above the floor."""
        self.count("detect")
        rows = [(n, *answer) for n, caption in enumerate(captions) for answer in self.answers.get(caption, ())]
        rows = [row for row in rows if row[2] > floor]
        pieces = self.pieces(captions)
        width = max(len(words) for words in pieces)
        tokens = np.zeros((len(rows), width), dtype=np.float32)
        for i, (caption, _, score, words) in enumerate(rows):
            for j, piece in enumerate(pieces[caption]):
                tokens[i, j] = score if piece in words.split(" ") else 0.05
        return Detections(
            boxes=np.array([row[1] for row in rows], dtype=np.float32).reshape(-1, 4),
            scores=np.array([row[2] for row in rows], dtype=np.float32),
            caption=np.array([row[0] for row in rows], dtype=np.int64),
            tokens=tokens,
        )

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return nothing of use: masks come from boxes alone."""
        self.count("embed")
        self.channels.extend(image[0, 0] for image in images)
        return np.zeros((len(images), 1, 1, 1), dtype=np.float32)

    def from_boxes(self, image: Embedded, boxes: NDArray[np.float32]) -> ScoredMasks:
        """Return each box's pixels as its mask."""
        self.count("from_boxes")
        masks = np.zeros((len(boxes), *image.size), dtype=bool)
        for mask, (x0, y0, x1, y1) in zip(masks, np.rint(boxes).astype(int), strict=True):
            mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
        return ScoredMasks(masks=MaskSet.encode(masks), quality=np.ones(len(boxes), dtype=np.float32))

    def maps(self, side: int) -> list[NDArray[np.float32]]:
        """Return fixed feature maps for a square input."""
        rng = np.random.default_rng(self.seed)
        return [rng.random((c, side >> n, side >> n), dtype=np.float32) for n, c in ((2, 3), (3, 4), (4, 2))]

    def levels(self, image: NDArray[np.uint8], side: int) -> Levels:
        """Return the fixed feature maps as levels."""
        self.count(f"levels {side}")
        return Levels(tuple(torch.from_numpy(one) for one in self.maps(side)))
