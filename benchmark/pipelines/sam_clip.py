"""SAM + CLIP: every mask that SAM finds is shown to CLIP; those nearest to the text are the answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.samples import Prediction, Regions
from benchmark.models.choice import Networks
from benchmark.models.clip_stages import (
    Canvas,
    ClipSettings,
    MaskGridSettings,
    cutouts_stage,
    everything_stage,
    text_vector,
)
from benchmark.models.sam_stages import embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

Floats = NDArray[np.float32]


def probabilities(vectors: Floats, text: Floats) -> Floats:
    """Softmax over one image's masks of 100 times the cosine to a text, (N,) float32.

    Args:
        vectors: (N, E) unit vectors of the masks' cut-outs; N may be 0.
        text: (E,) unit vector.
    """
    if not len(vectors):
        return np.zeros(0, dtype=np.float32)
    similarity = np.float32(100) * (vectors @ text)
    powers = np.exp(similarity - similarity.max())
    return np.asarray(powers / powers.sum(), dtype=np.float32)


class SamClip(Pipeline):
    """SAM + CLIP as Text2Seg runs it (Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_CLIP).

    The softmax runs over the masks of one image, not over classes, so that at most 19 masks pass the
    published threshold of 0.05, and of up to 19 masks at least one always does. No mask at all, or none
    above the threshold, is an empty answer, where the original stops with an error.
    """

    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    grid: MaskGridSettings
    clip: ClipSettings
    prompts: Prompts
    threshold: float = Field(ge=0, lt=1)
    canvas: Canvas
    score: Literal["probability", "cosine"]
    """Of a region: its probability, or (1 + cosine) / 2, which does not depend on the image's other masks."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return SAM and CLIP."""
        return Networks(wanted={**self.sam.wanted(), **self.clip.wanted()}, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for texts for a category that is not there."""
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan the masks that a text picks as regions; their union is the mask.

        Cut-outs are embedded in a stage; texts enter only behind it. ``extra`` has the number of masks that SAM
        found and of those picked.
        """
        stages = dict.fromkeys(context.categories, (self._cutouts(context),))
        vector = cache(partial(text_vector, context, self.clip, context.chosen, ensemble=False))

        def predict(one: ImageResults) -> Prediction:
            return self._predict(one.artifact, [vector(text) for text in self.prompts.of(one.sample.category)])

        return Plan(stages=stages, predict=predict)

    def _predict(self, artifact: Artifact, texts: Sequence[Floats]) -> Prediction:
        vectors, masks = artifact["vectors"], artifact["masks"]
        likely = np.stack([probabilities(vectors, text) for text in texts]).max(axis=0)
        index = np.nonzero(likely > self.threshold)[0]
        scores = likely
        if self.score == "cosine":
            near = np.stack([vectors @ text for text in texts]).max(axis=0)
            scores = np.asarray((1 + near) / 2, dtype=np.float32).clip(min=0)
        return Prediction(
            regions=Regions(masks=masks, index=index, scores=scores[index]),
            mask=masks.union(index),
            label=len(index) > 0,
            extra={"n_masks": len(masks), "n_regions": len(index)},
        )

    def _cutouts(self, context: Context) -> Stage:
        chosen = context.chosen
        embedding = embedding_stage(context, self.sam, chosen)
        everything = everything_stage(context, self.sam, self.grid, chosen, embedding=embedding)
        return cutouts_stage(context, self.clip, chosen, everything=everything, canvas=self.canvas)
