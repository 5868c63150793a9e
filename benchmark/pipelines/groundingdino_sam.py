"""GroundingDINO + SAM: boxes from a text, one mask a box, their union is the answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Prediction, Regions
from benchmark.models.choice import Networks
from benchmark.models.detector import Detector
from benchmark.models.grounding_dino import normalise, phrase
from benchmark.models.sam_stages import box_masks_stage, detection_stage, embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class GroundingDinoSam(Pipeline):
    """GroundingDINO + SAM as Text2Seg runs it (Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_dino).

    Every text is asked by itself; boxes above the threshold are kept without non-maximum suppression,
    phrase check or top-K, and each becomes one mask. No box at all is an empty answer, where the
    original stops with an error.
    """

    detector: Annotated[Detector, group_option("pipeline.detector")]
    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    prompts: Prompts
    box_threshold: float = Field(ge=0, lt=1)
    text_threshold: float = Field(ge=0, lt=1)
    mask_floor: float = Field(ge=0, lt=1)
    """Boxes up to this score get no mask; ``box_threshold`` may be swept above it at no cost."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return detector, its tokenizer, and SAM."""
        return Networks(wanted={**self.detector.wanted(), **self.sam.wanted()}, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for thresholds below their floors, or texts for a category that is not there."""
        if not self.detector.floor <= self.mask_floor <= self.box_threshold:
            raise ConfigError(
                f"pipeline.box_threshold={self.box_threshold} must not be below mask_floor={self.mask_floor}, "
                f"nor that below detector.floor={self.detector.floor}: what lies below a floor is not stored; "
                "lower the floors"
            )
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan masks with the box scores as region scores; their union is the mask.

        ``rationale`` has each box's phrase and score, ``extra`` the number of boxes.
        """
        return Plan(stages=self.prompts.stages(context, partial(self._masks, context)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        artifact = one.artifact
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

    def _masks(self, context: Context, texts: tuple[str, ...]) -> Stage:
        chosen = context.chosen
        asked = self.detector.fit(context, chosen, [normalise(text) for text in texts])
        context.tell(*asked.notes)
        return box_masks_stage(
            context,
            self.sam,
            chosen,
            detection=detection_stage(context, self.detector, chosen, captions=asked.captions),
            embedding=embedding_stage(context, self.sam, chosen),
            floor=self.mask_floor,
        )
