"""GroundingDINO + SAM: boxes from a text, one mask a box, their union is the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from benchmark.errors import ConfigError
from benchmark.models.choice import Chosen, Wanted, choose, needed
from benchmark.models.grounding_dino import normalise, phrase
from benchmark.models.prompted import (
    DetectorSettings,
    SamSettings,
    box_masks_stage,
    detection_stage,
    embedding_stage,
)
from benchmark.pipelines.prompts import Prompts
from benchmark.samples import Prediction, Regions, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Stage

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact

NAME = "groundingdino_sam"


class GroundingDinoSam(Settings):
    """GroundingDINO + SAM as Text2Seg runs it (Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_dino).

    Every text is asked by itself; boxes above the threshold are kept without non-maximum suppression,
    phrase check or top-K, and each becomes one mask. No box at all is an empty answer, where the
    original stops with an error.
    """

    detector: DetectorSettings
    sam: SamSettings
    prompts: Prompts
    box_threshold: float = Field(ge=0, lt=1)
    text_threshold: float = Field(ge=0, lt=1)
    mask_floor: float = Field(ge=0, lt=1)
    """Boxes up to this score get no mask; ``box_threshold`` may be swept above it at no cost."""
    allow_random_weights: bool

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self._wanted())

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the mask stage of every set of texts.

        Raises:
            ConfigError: thresholds below their floors, or random weights that were not allowed.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        return tuple(self._masks(context, chosen, texts) for texts in self.prompts.distinct(context.samples))

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield masks with the box scores as region scores; their union is the mask.

        ``rationale`` has each box's phrase and score, ``extra`` the number of boxes.

        Raises:
            ConfigError: thresholds below their floors, or random weights that were not allowed.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        for texts, samples in self.prompts.runs(context.samples):
            for sample, artifact in context.run(self._masks(context, chosen, texts), samples):
                yield sample, self._predict(artifact)

    def _predict(self, artifact: Artifact) -> Prediction:
        scores = artifact["scores"]
        index = np.nonzero(scores > self.box_threshold)[0]
        masks = artifact["masks"]
        return Prediction(
            regions=Regions(masks=masks, index=index, scores=scores[index]),
            mask=masks.union(index),
            label=len(index) > 0,
            rationale="; ".join(self._spell(artifact, int(i)) for i in index) or None,
            extra={"n_regions": len(index)},
        )

    def _spell(self, artifact: Artifact, box: int) -> str:
        pieces = artifact["pieces"][int(artifact["caption"][box])]
        text = phrase(pieces, artifact["tokens"][box], self.text_threshold).replace(".", "")
        return f"{text} {float(artifact['scores'][box]):.2f}"

    def _wanted(self) -> dict[str, Wanted]:
        return {**self.detector.wanted(), **self.sam.wanted()}

    def _prepare(self, context: Context) -> dict[str, Chosen]:
        """Check what can be checked before any work, and find the weights."""
        if not self.detector.floor <= self.mask_floor <= self.box_threshold:
            raise ConfigError(
                f"pipeline.box_threshold={self.box_threshold} must not be below mask_floor={self.mask_floor}, "
                f"nor that below detector.floor={self.detector.floor}: what lies below a floor is not stored; "
                "lower the floors"
            )
        self.prompts.check(context.manifest)
        return choose(context, self._wanted(), pipeline=NAME, allow_random=self.allow_random_weights)

    def _masks(self, context: Context, chosen: dict[str, Chosen], texts: tuple[str, ...]) -> Stage:
        captions = [normalise(text) for text in texts]
        return box_masks_stage(
            context,
            self.sam,
            chosen,
            detection=detection_stage(context, self.detector, chosen, captions=captions),
            embedding=embedding_stage(context, self.sam, chosen),
            floor=self.mask_floor,
        )
