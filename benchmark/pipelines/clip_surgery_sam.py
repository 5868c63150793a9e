"""CLIP Surgery + SAM: where CLIP's patches resemble the text, points are set, and SAM draws the mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError
from benchmark.core.samples import MaskSet, Prediction, Regions
from benchmark.models.choice import Networks
from benchmark.models.clip_stages import ClipSettings, ImagePath, tell_cut_off, text_vector, tokens_stage
from benchmark.models.clip_surgery import Norm, normalise, points_of, similarity_map, surgery
from benchmark.models.sam_stages import embedded, embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

NAME = "clip_surgery_sam"


class ClipSurgerySam(Pipeline):
    """CLIP Surgery + SAM (xmed-lab/CLIP_Surgery:demo.py; Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_CLIPS).

    One text per category. An image whose similarity is the same everywhere gives no points and an empty answer.
    """

    clip: ClipSettings
    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    prompts: Prompts
    surgery_blocks: int = Field(ge=0)
    """Last blocks of the image encoder with value-value attention; 0: plain CLIP."""
    image_path: ImagePath
    norm: Norm
    contrast: tuple[str, ...] | None
    """Other texts that the text is contrasted with; none: with the empty text; None: with nothing, which leaves the
    plain similarity, as its authors advise for sentences (xmed-lab/CLIP_Surgery, issue 14)."""
    threshold: float = Field(gt=0, le=1)
    down_sample: int = Field(ge=1)
    multimask: bool
    """Three masks, of which the one with the highest predicted IoU is taken."""
    score: Literal["text", "quality", "similarity_map"]
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return CLIP and SAM."""
        return Networks(wanted={**self.clip.wanted(), **self.sam.wanted()}, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for several texts for a category, or one for a category that is not there."""
        for texts in (self.prompts.default, *self.prompts.by_category.values()):
            if len(texts) != 1:
                raise ConfigError(
                    f"pipeline.prompts: {NAME} asks for one text, not {len(texts)} ({', '.join(texts)}); "
                    "other texts to contrast it with go into pipeline.contrast"
                )
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan SAM's mask as the one region; or, with ``score=similarity_map``, that map and the mask."""
        return Plan(
            stages=self.prompts.stages(context, partial(self._masks, context)), predict=partial(self._predict, context)
        )

    def _predict(self, context: Context, one: ImageResults) -> Prediction:
        artifact = one.artifact
        tell_cut_off(context, self.clip.long_texts, artifact)
        masks: MaskSet = artifact["masks"]
        mask = masks.union()
        extra = {"n_points": len(artifact["labels"]), "quality": float(artifact["quality"]) if len(masks) else None}
        if self.score == "similarity_map":
            drawn = similarity_map(artifact["similarity"], masks.shape)
            return Prediction(score_map=drawn, mask=mask, label=bool(mask.any()), extra=extra)
        quality = max(float(artifact["quality"]), 0.0)
        score = quality if self.score == "quality" else float(artifact["text_score"])
        index = np.arange(len(masks), dtype=np.int64)
        scores = np.full(len(masks), score, dtype=np.float32)
        regions = Regions(masks=masks, index=index, scores=scores)
        return Prediction(regions=regions, mask=mask, label=bool(mask.any()), extra=extra)

    def _masks(self, context: Context, asked: tuple[str, ...]) -> Stage:
        """The mask for one text: ``masks`` (one or none), ``quality``, ``similarity`` (g * g,), points and scores."""
        chosen, (text,) = context.chosen, asked

        @cache
        def texts() -> tuple[NDArray[np.float32], NDArray[np.float32] | None, Artifact]:
            asked = (text, *(self.contrast or ()))
            found = [text_vector(context, self.clip, chosen, one, ensemble=True) for one in asked]
            vectors = np.stack([one.vector for one in found])
            told = {key: note for one in reversed(found) for key, note in one.cut_off.items()}
            if self.contrast:
                return vectors, None, told
            if self.contrast is None:
                return vectors, np.zeros_like(vectors[0]), told
            return vectors, text_vector(context, self.clip, chosen, "", ensemble=True).vector, told

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = self.sam.load(context, chosen)
            vectors, redundant, told = texts()
            return [{**self._mask(network, one, vectors, redundant), **told} for one in inputs]

        return Stage(
            name="clip_surgery_masks",
            version=1,
            settings={
                "text": text,
                "contrast": None if self.contrast is None else list(self.contrast),
                **self.model_dump(include={"norm", "threshold", "down_sample", "multimask"}),
            },
            weights={role: chosen[role].sha256 for role in ("clip", "sam")},
            upstream=(
                tokens_stage(context, self.clip, chosen, surgery=self.surgery_blocks, image_path=self.image_path),
                embedding_stage(context, self.sam, chosen),
            ),
            compute=compute,
            needs_image=False,
        )

    def _mask(
        self, network: Any, one: Inputs, texts: NDArray[np.float32], redundant: NDArray[np.float32] | None
    ) -> dict[str, Any]:
        image = embedded(one.upstream["sam_embedding"])
        tokens = normalise(one.upstream["clip_tokens"]["tokens"], norm=self.norm)
        similarity = surgery(tokens, texts, redundant)[1:, 0]
        points = points_of(similarity, image.size, threshold=self.threshold, down_sample=self.down_sample)
        found: dict[str, Any] = {"similarity": similarity, "points": points.places, "labels": points.labels}
        if not len(points.labels):
            empty = MaskSet.from_counts(image.size, ())
            return {**found, "masks": empty, "quality": 0.0, "text_score": 0.0}
        decoded = network.from_points(image, points.places, points.labels, multimask=self.multimask)
        best = int(np.argmax(decoded.quality)) if self.multimask else 0
        masks = MaskSet.from_counts(image.size, [decoded.masks.counts[best]])
        return {
            **found,
            "masks": masks,
            "quality": float(decoded.quality[best]),
            "text_score": text_score(similarity),
        }


def text_score(similarity: NDArray[np.float32]) -> float:
    """Score of a region from its text: the largest patch similarity, mapped from [-2, 2] to [0, 1]."""
    return float(np.clip((similarity.max() + 2) / 4, 0, 1))
