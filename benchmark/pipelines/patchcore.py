"""PatchCore: how far each patch of an image is from the patches of good training images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import DataError
from benchmark.core.lazy import batched
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.models.backbone import Features
from benchmark.models.choice import Networks, ResolvedWeights
from benchmark.models.patch_bank import choose_spread, compare, patch_vectors
from benchmark.models.score_map import resized, smooth, square
from benchmark.pipelines.references import GOOD, check_learning, content_of, normal_images
from benchmark.pipelines.square_backbone import SquareBackbone, side_of
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

log = logging.getLogger(__name__)
NAME = "patchcore"
BATCH = 8
"""Images that go through the network side by side; results do not depend on it."""


class PatchCore(Pipeline):
    """PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on the good training images of each category.

    Written on this package's features, so that it needs no further library and takes any backbone; anomalib's own runs
    as ``pipeline=anomalib pipeline.model=patchcore``, and agrees with this one to rounding
    (tests/pipelines/test_anomalib.py). It is no zero-shot method; the result says so.
    """

    backbone: SquareBackbone
    """Its layers are put together on the grid of the first one; ``side`` must be given."""
    candidates: int = Field(ge=1)
    """Most patches of a category's training images that are held at once; beyond it each image gives fewer."""
    share: float = Field(gt=0, le=1)
    """Part of the candidates that is remembered."""
    most: int = Field(ge=1)
    """Most remembered patches of a category."""
    neighbours: int = Field(ge=1)
    """b of the image score; 1: the largest distance."""
    smoothing: float = Field(ge=0)
    """Deviation of the Gaussian over the map, in pixels of ``backbone.side``; 0: none."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return the network of the features."""
        return Networks(wanted=self.backbone.wanted(), allow_random=self.allow_random_weights)

    def learns(self) -> tuple[str, str]:
        """Return the memory."""
        return f"{NAME}: memory of normal patches", GOOD

    def check(self, context: Context) -> None:
        """Raise ConfigError for a Gaussian wider than the map, and DataError without good training images."""
        check_learning(context, smoothing=self.smoothing, side=side_of(self.backbone), name=NAME)

    def plan(self, context: Context) -> Plan:
        """Plan a score map and an image score; a category's memory is made when the first image needs it."""
        stages = {category: (self._distances(context, category),) for category in context.categories}
        return Plan(stages=stages, predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        artifact = one.artifact
        drawn = self._draw(artifact["distances"], (int(artifact["height"]), int(artifact["width"])))
        return Prediction(score_map=drawn, image_score=float(artifact["image_score"]))

    def _bank(self, context: Context, images: tuple[Sample, ...]) -> NDArray[np.float32]:
        """The remembered patches of a category, (M, C); at most ``most`` times C times 4 bytes."""
        chosen = context.chosen

        def compute(_: Sequence[Inputs]) -> list[Artifact]:
            bank, seen = self._remember(context, chosen["features"], images)
            size = f"{len(bank)} of {seen} patches, {bank.nbytes / 1e6:.1f} MB"
            log.info("%s remembers %s of %s", NAME, size, images[0].category)
            return [{"bank": bank}]

        stage = Stage(
            name="patchcore_bank",
            version=1,
            settings={**self.backbone.facts(), **self._bank_facts(context), "content": content_of(images)},
            weights={"features": chosen["features"].sha256},
            compute=compute,
            needs_image=False,
        )
        return np.asarray(context.once(stage, "bank")["bank"])

    def _remember(
        self, context: Context, weights: ResolvedWeights, images: tuple[Sample, ...]
    ) -> tuple[NDArray[np.float32], int]:
        """Choose what is remembered of some images; also how many patches they have."""
        import torch

        kept: list[torch.Tensor] = []
        seen = 0
        each = max(1, self.candidates // len(images))
        draws = np.random.default_rng(context.seed)
        network = self.backbone.load(context, weights)
        readable = (image for _, image in context.images(images))
        for some in batched(readable, BATCH):
            for patches in network.each(some, lambda _, found: patch_vectors(found.maps)):
                seen += len(patches)
                if len(patches) > each:
                    patches = patches[torch.from_numpy(np.sort(draws.choice(len(patches), each, replace=False)))]
                kept.append(patches.cpu())
        if not kept:
            told = counted(len(images), "good training image")
            raise DataError(f"none of the {told} of {images[0].category} can be read")
        together = torch.cat(kept).to(context.device)
        number = min(self.most, max(1, round(self.share * len(together))))
        index = choose_spread(together, number=number, seed=context.seed)
        return np.asarray(together[torch.from_numpy(index).to(together.device)].cpu().numpy()), seen

    def _distances(self, context: Context, category: str) -> Stage:
        """Each patch's distance to the memory, (g * g,), the image score, and the size of the image."""
        chosen = context.chosen
        images = normal_images(context, category, number=None, setting=NAME)
        held: list[torch.Tensor] = []

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            import torch

            if not held:
                held.append(torch.from_numpy(self._bank(context, images)).to(context.device))
            network = self.backbone.load(context, chosen["features"])
            return network.each(
                [one.pixels for one in inputs],
                lambda number, found: self._one(found, held[0], shape=inputs[number].pixels.shape),
            )

        return Stage(
            name="patchcore_distances",
            version=1,
            settings={
                **self.backbone.facts(),
                **self._bank_facts(context),
                "neighbours": self.neighbours,
                "content": content_of(images),
            },
            weights={"features": chosen["features"].sha256},
            compute=compute,
            batch_size=BATCH,
        )

    def _one(self, features: Features, memory: torch.Tensor, *, shape: tuple[int, ...]) -> dict[str, Any]:
        found = compare(patch_vectors(features.maps), memory, neighbours=self.neighbours)
        return {
            "distances": found.distances,
            "image_score": found.image_score,
            "height": shape[0],
            "width": shape[1],
        }

    def _bank_facts(self, context: Context) -> dict[str, Any]:
        return {"candidates": self.candidates, "share": self.share, "most": self.most, "seed": context.seed}

    def _draw(self, distances: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Draw the distances over the image, smoothed."""
        side = side_of(self.backbone)
        drawn = resized(square(distances), (side, side), resampling="nearest")
        return resized(smooth(drawn, deviation=self.smoothing), size)
