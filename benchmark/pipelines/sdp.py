"""SDP: patches of four stages of CLIP against clusters of texts, without training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.samples import Prediction, Sample
from benchmark.models.choice import Networks
from benchmark.models.clip import squash
from benchmark.models.clip_sdp import Floats, abnormal_image, abnormal_map, cluster_mean, stage_tokens
from benchmark.models.clip_stages import ClipSettings, ToRgb, prompt_vectors, seen
from benchmark.models.score_map import resized, square
from benchmark.pipelines.states import States
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class Sdp(Pipeline):
    """The training-free part of CLIP-AD (arXiv 2311.00453; ByChelsea/CLIP-AD:test.py)."""

    toy: ClassVar = {"clip.model": "toy_plus", "clip.input_size": "96"}

    clip: ClipSettings
    states: States
    aliased_class: bool
    """The class token of the first three stages is that of half a block later, as the released code has it."""
    text: Literal["dbscan", "mean"]
    cluster_distance: float = Field(gt=0)
    cluster_size: int = Field(ge=1)
    half_text: bool
    """Text vectors are rounded to half precision."""
    smoothing: float = Field(ge=0)
    """Deviation of the Gaussian over the map of ``clip.input_size``, in its pixels."""
    image_score: Literal["transductive", "text"]
    """``transductive``: the text's probability and the map's maximum, each scaled to [0, 1] over the test images of
    the category, summed: an image's score depends on the other images. ``text``: the probability alone."""
    to_rgb: ToRgb
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return CLIP."""
        return Networks(wanted=self.clip.wanted(), allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for names of no category."""
        self.states.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan a score map and an image score; a transductive one needs the scores of all images first.

        Raises:
            BenchmarkError: the prompts form no cluster.
        """
        stages = dict.fromkeys(context.categories, (self._tokens(context),))
        texts = {category: self._texts(context, category) for category in context.categories}
        if self.image_score == "transductive":
            return Plan(stages=stages, predict_all=partial(self._predict_all, texts=texts))
        return Plan(stages=stages, predict=lambda one: self._predict(one, texts, None))

    def _predict_all(
        self, images: Iterable[ImageResults], *, texts: Mapping[str, Floats]
    ) -> Iterator[tuple[Sample, Prediction]]:
        """First what the scores of each category reach from and to, then the predictions; no token is kept between."""
        ranges: dict[str, _Range] = {}
        for one in images:
            _, text, most = self._read(one.artifact, texts[one.sample.category])
            ranges.setdefault(one.sample.category, _Range()).add(text, most)
        for one in images:
            yield one.sample, self._predict(one, texts, ranges[one.sample.category])

    def _predict(self, one: ImageResults, texts: Mapping[str, Floats], reach: _Range | None) -> Prediction:
        drawn, text, most = self._read(one.artifact, texts[one.sample.category])
        score = text if reach is None else reach.score(text, most)
        size = (int(one.artifact["height"]), int(one.artifact["width"]))
        return Prediction(score_map=resized(drawn, size), image_score=score, extra={"text_score": text})

    def _read(self, artifact: Artifact, texts: Floats) -> tuple[NDArray[np.float32], float, float]:
        """The map of ``clip.input_size``, the text's probability, and the map's maximum."""
        from scipy.ndimage import gaussian_filter

        side = self.clip.input_size
        drawn = resized(square(abnormal_map(artifact["tokens"], texts)), (side, side))
        if self.smoothing:
            drawn = np.asarray(gaussian_filter(drawn, sigma=self.smoothing), dtype=np.float32)
        return drawn, abnormal_image(artifact["tokens"], texts), float(drawn.max())

    def _texts(self, context: Context, category: str) -> Floats:
        """The unit vectors of the normal and the abnormal prompts, (2, E)."""
        return np.stack(
            [
                self._one(prompt_vectors(context, self.clip, context.chosen, prompts))
                for prompts in self.states.prompts(category)
            ]
        )

    def _one(self, vectors: NDArray[np.float32]) -> Floats:
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        if self.text == "mean":
            mean = np.asarray(units.mean(axis=0), dtype=np.float64)
        else:
            mean = cluster_mean(units, distance=self.cluster_distance, size=self.cluster_size)
        if self.half_text:
            half = mean.astype(np.float16)
            norm = np.float16(np.linalg.norm(half.astype(np.float32)))
            return np.asarray(half / norm, dtype=np.float64)
        return np.asarray(mean / np.linalg.norm(mean))

    def _tokens(self, context: Context) -> Stage:
        """The tokens of every stage, (4, 1 + g * g, E), and the size of the image."""
        chosen = context.chosen

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            images = [one.pixels for one in inputs]
            side = self.clip.input_size
            prepared = [squash(seen(one, side, to_rgb=self.to_rgb), side) for one in inputs]
            tokens = stage_tokens(self.clip.load(context, chosen), prepared, aliased_class=self.aliased_class)
            return [
                {"tokens": one, "height": image.shape[0], "width": image.shape[1]}
                for one, image in zip(tokens, images, strict=True)
            ]

        return Stage(
            name="sdp_tokens",
            version=1,
            settings={
                **self.clip.facts(),
                "aliased_class": self.aliased_class,
                **({} if self.to_rgb == "first" else {"to_rgb": self.to_rgb}),
            },
            weights={"clip": chosen["clip"].sha256},
            compute=compute,
            batch_size=self.clip.batch_size,
        )


class _Range:
    """Least and largest of the two scores of a category's images."""

    def __init__(self) -> None:
        self.low = np.full(2, np.inf)
        self.high = np.full(2, -np.inf)

    def add(self, text: float, most: float) -> None:
        """Widen the range to an image's scores."""
        self.low = np.minimum(self.low, (text, most))
        self.high = np.maximum(self.high, (text, most))

    def score(self, text: float, most: float) -> float:
        """Sum of both scores, each scaled to [0, 1]; where all images have one value, it says nothing and counts 0."""
        spans = self.high - self.low
        parts = np.where(spans > 0, (np.array([text, most]) - self.low) / np.where(spans > 0, spans, 1.0), 0.0)
        return float(parts.sum())
