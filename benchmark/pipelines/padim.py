"""PaDiM: how unlikely the features of each place of an image are among those of good images at the same place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import DataError
from benchmark.core.lazy import batched
from benchmark.core.samples import Prediction, Sample
from benchmark.models.backbone import Features
from benchmark.models.choice import Networks
from benchmark.models.padim import Gaussians, choose_channels, embed, fit, mahalanobis
from benchmark.models.score_map import resized, smooth, square
from benchmark.pipelines.references import GOOD, check_learning, content_of, normal_images
from benchmark.pipelines.square_backbone import SquareBackbone, side_of
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

NAME = "padim"


class Padim(Pipeline):
    """PaDiM (Defard et al., ICPR 2020, arXiv 2011.08785) on the good training images of each category.

    Follows open-edge-platform/anomalib:src/anomalib/models/image/padim, which adds 0.01 and 0.00001 to the diagonal
    of the covariances. It is no zero-shot method; the result says so.
    """

    toy: ClassVar = {"channels": "20", "smoothing": "1"}

    backbone: SquareBackbone
    """Its layers are put together on the grid of the first one; ``side`` must be given."""
    channels: int = Field(ge=1)
    """Channels of all layers that are kept, chosen by run.seed; all where there are fewer."""
    regularisation: float = Field(gt=0)
    """Added to the diagonal of each covariance."""
    smoothing: float = Field(ge=0)
    """Deviation of the Gaussian over the map, in pixels of ``backbone.side``; 0: none."""
    batch_size: int = Field(ge=1)
    """Images that go through the network together."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return the network of the features."""
        return Networks(wanted=self.backbone.wanted(), allow_random=self.allow_random_weights)

    def learns(self) -> tuple[str, str]:
        """Return the Gaussians."""
        return f"{NAME}: Gaussians of normal features", GOOD

    def by_place(self) -> bool:
        """Return that each place has a Gaussian of its own."""
        return True

    def check(self, context: Context) -> None:
        """Raise ConfigError for a Gaussian wider than the map, and DataError without good training images."""
        check_learning(context, smoothing=self.smoothing, side=side_of(self.backbone), name=NAME)

    def plan(self, context: Context) -> Plan:
        """Plan a score map; the largest value before it takes the image's size is the image score."""
        stages = {category: (self._distances(context, category),) for category in context.categories}
        return Plan(stages=stages, predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        artifact = one.artifact
        drawn, score = self._draw(artifact["distances"], (int(artifact["height"]), int(artifact["width"])))
        return Prediction(score_map=drawn, image_score=score)

    def _gaussians(self, context: Context, images: tuple[Sample, ...]) -> Gaussians:
        """The distribution of normal features at each place of a category."""

        def compute(_: Sequence[Inputs]) -> list[Artifact]:
            embeddings = self._embeddings(context, images)
            try:
                found, _number = fit(embeddings, regularisation=self.regularisation)
            except ValueError as error:
                raise DataError(f"none of the {len(images)} good images of {images[0].category} can be read") from error
            return [{"mean": found.mean, "whitening": found.whitening}]

        stage = Stage(
            name="padim_gaussians",
            version=1,
            settings={**self._facts(context), "content": content_of(images)},
            weights={"features": context.chosen["features"].sha256},
            compute=compute,
            needs_image=False,
        )
        artifact = context.once(stage, "gaussians")
        return Gaussians(artifact["mean"], artifact["whitening"])

    def _embeddings(self, context: Context, images: tuple[Sample, ...]) -> Iterator[torch.Tensor]:
        """Yield the embedding of each good image, a few going through the network together."""
        for some in batched((image for _, image in context.images(images)), self.batch_size):
            yield from self._embed(context, some)

    def _embed(self, context: Context, images: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        import torch

        def work(_: int, features: Features) -> torch.Tensor:
            total = sum(len(level) for level in features.maps)
            return embed(features.maps, torch.from_numpy(choose_channels(total, self.channels, seed=context.seed)))

        return self.backbone.load(context, context.chosen["features"]).each(images, work)

    def _distances(self, context: Context, category: str) -> Stage:
        """Each place's Mahalanobis distance, (P,), and the size of the image."""
        images = normal_images(context, category, number=None, setting=NAME)
        held: list[tuple[torch.Tensor, torch.Tensor]] = []

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            import torch

            if not held:
                mean, whitening = self._gaussians(context, images)
                held.append((torch.from_numpy(mean).to(context.device), torch.from_numpy(whitening).to(context.device)))
            found = self._embed(context, [one.pixels for one in inputs])
            return [
                {
                    "distances": mahalanobis(embedding, *held[0]).cpu().numpy(),
                    "height": one.pixels.shape[0],
                    "width": one.pixels.shape[1],
                }
                for embedding, one in zip(found, inputs, strict=True)
            ]

        return Stage(
            name="padim_distances",
            version=1,
            settings={**self._facts(context), "content": content_of(images)},
            weights={"features": context.chosen["features"].sha256},
            compute=compute,
            batch_size=self.batch_size,
        )

    def _facts(self, context: Context) -> dict[str, Any]:
        own = {"channels": self.channels, "regularisation": self.regularisation, "seed": context.seed}
        return {**self.backbone.facts(), **own}

    def _draw(self, distances: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], float]:
        """Draw the distances over the image, smoothed; also the maximum before the map takes the image's size."""
        side = side_of(self.backbone)
        smoothed = smooth(resized(square(distances), (side, side)), deviation=self.smoothing)
        return resized(smoothed, size), float(smoothed.max())
