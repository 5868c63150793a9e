"""SDP: patches of four stages of CLIP against clusters of texts, without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.models.choice import Chosen, choose, needed
from benchmark.models.clip import squash
from benchmark.models.clip_sdp import Floats, abnormal_image, abnormal_map, cluster_mean, stage_tokens
from benchmark.models.worded import ClipSettings, prompt_vectors
from benchmark.pipelines.states import States, draw
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact

NAME = "sdp"


class Sdp(Settings):
    """The training-free part of CLIP-AD (arXiv 2311.00453; ByChelsea/CLIP-AD:test.py)."""

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
    allow_random_weights: bool

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self.clip.wanted())

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of the tokens.

        Raises:
            ConfigError: random weights that were not allowed.
            WeightsError: weights are missing or damaged.
        """
        return (self._tokens(context, self._prepare(context)),)

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield the score map and the image score of every sample.

        Raises:
            BenchmarkError: the prompts form no cluster.
            ConfigError: random weights that were not allowed, or a network that has no four equal stages.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        stage = self._tokens(context, chosen)
        categories = dict.fromkeys(sample.category for sample in context.samples)
        texts = {category: self._texts(context, chosen, category) for category in categories}
        ranges = self._ranges(context, stage, texts) if self.image_score == "transductive" else {}
        for sample, artifact in context.run(stage):
            drawn, text, most = self._read(artifact, texts[sample.category])
            score = text if not ranges else ranges[sample.category].score(text, most)
            size = (int(artifact["height"]), int(artifact["width"]))
            yield sample, Prediction(score_map=draw(drawn, size), image_score=score, extra={"text_score": text})

    def _ranges(self, context: Context, stage: Stage, texts: dict[str, Floats]) -> dict[str, _Range]:
        """What the scores of each category reach from and to; the tokens are computed here and read again later."""
        ranges: dict[str, _Range] = {}
        for sample, artifact in context.run(stage):
            _, text, most = self._read(artifact, texts[sample.category])
            ranges.setdefault(sample.category, _Range()).add(text, most)
        return ranges

    def _read(self, artifact: Artifact, texts: Floats) -> tuple[NDArray[np.float32], float, float]:
        """The map of ``clip.input_size``, the text's probability, and the map's maximum."""
        from scipy.ndimage import gaussian_filter

        side = self.clip.input_size
        drawn = draw(abnormal_map(artifact["tokens"], texts), (side, side))
        if self.smoothing:
            drawn = np.asarray(gaussian_filter(drawn, sigma=self.smoothing), dtype=np.float32)
        return drawn, abnormal_image(artifact["tokens"], texts), float(drawn.max())

    def _prepare(self, context: Context) -> dict[str, Chosen]:
        self.states.check(context.manifest)
        return choose(context, self.clip.wanted(), pipeline=NAME, allow_random=self.allow_random_weights)

    def _texts(self, context: Context, chosen: dict[str, Chosen], category: str) -> Floats:
        """The unit vectors of the normal and the abnormal prompts, (2, E)."""
        return np.stack(
            [
                self._one(prompt_vectors(context, self.clip, chosen, prompts))
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

    def _tokens(self, context: Context, chosen: dict[str, Chosen]) -> Stage:
        """The tokens of every stage, (4, 1 + g * g, E), and the size of the image."""

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            images = [one.pixels for one in inputs]
            prepared = [squash(image, self.clip.input_size) for image in images]
            tokens = stage_tokens(self.clip.load(context, chosen), prepared, aliased_class=self.aliased_class)
            return [
                {"tokens": one, "height": image.shape[0], "width": image.shape[1]}
                for one, image in zip(tokens, images, strict=True)
            ]

        return Stage(
            name="sdp_tokens",
            version=1,
            settings={
                "model": self.clip.model,
                "precision": self.clip.precision,
                "input_size": self.clip.input_size,
                "aliased_class": self.aliased_class,
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
