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
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Prediction, Regions
from benchmark.models.choice import Networks
from benchmark.models.clip_stages import TextVector, text_vector
from benchmark.models.cutout_stages import Canvas, MaskGridSettings, cutouts_stage, everything_stage
from benchmark.models.sam_stages import embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.models.text_image import Logits, TextImage
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

Floats = NDArray[np.float32]


def probabilities(vectors: Floats, text: Floats, *, scale: float = 100.0) -> Floats:
    """Softmax over one image's masks of the logit of each with a text, (N,) float32.

    Args:
        vectors: (N, E) unit vectors of the masks' cut-outs; N may be 0.
        text: (E,) unit vector.
        scale: of the cosine; what a network adds to all logits makes no difference.
    """
    if not len(vectors):
        return np.zeros(0, dtype=np.float32)
    similarity = np.float32(scale) * (vectors @ text)
    powers = np.exp(similarity - similarity.max())
    return np.asarray(powers / powers.sum(), dtype=np.float32)


def pair_probabilities(vectors: Floats, text: Floats, logits: Logits) -> Floats:
    """Probability of each mask with a text, (N,) float32: the sigmoid of the logit, as SigLIP is trained by."""
    raised = -(logits.scale * (vectors @ text) + (logits.bias or 0.0))
    return np.asarray(1 / (1 + np.exp(np.minimum(raised, 80))), dtype=np.float32)


class SamClip(Pipeline):
    """SAM + CLIP as Text2Seg runs it (Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_CLIP).

    The softmax runs over the masks of one image, not over classes, so that at most 19 masks pass the
    published threshold of 0.05, and of up to 19 masks at least one always does. No mask at all, or none
    above the threshold, is an empty answer, where the original stops with an error.
    """

    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    grid: MaskGridSettings
    clip: Annotated[TextImage, group_option("pipeline.clip", usual="benchmark.models.clip_stages.ClipSettings")]
    prompts: Prompts
    threshold: float = Field(ge=0, lt=1)
    canvas: Canvas
    score: Literal["probability", "cosine", "sigmoid"]
    """Of a region: its probability, or what does not depend on the image's other masks: (1 + cosine) / 2, or the
    probability of mask and text that SigLIP gives."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return SAM and CLIP."""
        return Networks(wanted={**self.sam.wanted(), **self.clip.wanted()}, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for texts for a category that is not there, or a score that the network does not have."""
        self.prompts.check(context.manifest)
        if self.score == "sigmoid" and (reason := self.clip.lacks("sigmoid")):
            raise ConfigError(f"pipeline.score=sigmoid: {reason}; take score=probability, or a SigLIP")

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

    def _predict(self, artifact: Artifact, texts: Sequence[TextVector]) -> Prediction:
        vectors, masks = artifact["vectors"], artifact["masks"]
        likely = np.stack([probabilities(vectors, t.vector, scale=t.logits.scale) for t in texts]).max(axis=0)
        index = np.nonzero(likely > self.threshold)[0]
        scores = likely
        if self.score == "cosine":
            near = np.stack([vectors @ text.vector for text in texts]).max(axis=0)
            scores = np.asarray((1 + near) / 2, dtype=np.float32).clip(min=0)
        if self.score == "sigmoid":
            scores = np.stack([pair_probabilities(vectors, text.vector, text.logits) for text in texts]).max(axis=0)
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
