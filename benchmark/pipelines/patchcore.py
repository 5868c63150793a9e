"""PatchCore: how far each patch of an image is from the patches of good training images."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.errors import ConfigError, DataError
from benchmark.models.backbone import Backbone, Features
from benchmark.models.choice import Chosen, choose, needed
from benchmark.models.patch_bank import choose_spread, compare, patch_vectors
from benchmark.nested import option
from benchmark.pipelines.references import content_of, normal_images, note_training
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.artifacts import Artifact

log = logging.getLogger(__name__)
NAME = "patchcore"
BATCH = 8
"""Images that go through the network side by side; results do not depend on it."""


class PatchCore(Settings):
    """PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on the good training images of each category.

    Written on this package's features, because anomalib cannot share an environment with it: anomalib installs a
    second OpenCV over the first (opencv-python-headless), and its CLIP models want an open_clip below 2.26.1. It is
    no zero-shot method; the result says so.
    """

    backbone: Annotated[Backbone, option("pipeline.backbone")]
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

    @property
    def side(self) -> int:
        """Side of the square that images are resized to, and of the map, pixels."""
        assert self.backbone.side is not None
        return self.backbone.side

    @model_validator(mode="after")
    def _has_a_side(self) -> PatchCore:
        if self.backbone.side is None:
            raise ValueError("backbone.side: give the side that images are resized to")
        return self

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self.backbone.wanted())

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of the distances of every category.

        Raises:
            ConfigError: random weights that were not allowed, or a Gaussian wider than the map.
            DataError: a category without good training images.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        categories = dict.fromkeys(sample.category for sample in context.samples)
        return tuple(self._distances(context, chosen, category) for category in categories)

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield the score map and the image score of every sample.

        Raises:
            ConfigError: random weights that were not allowed, or a Gaussian wider than the map.
            DataError: a category without good training images.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        for category, samples in groupby(context.samples, key=lambda sample: sample.category):
            for sample, artifact in context.run(self._distances(context, chosen, category), list(samples)):
                size = (int(artifact["height"]), int(artifact["width"]))
                drawn = self._draw(artifact["distances"], size)
                yield sample, Prediction(score_map=drawn, image_score=float(artifact["image_score"]))

    def _prepare(self, context: Context) -> dict[str, Chosen]:
        """Check what can be checked before any work, and find the weights."""
        if self._reach() >= self.side:
            raise ConfigError(
                f"pipeline.smoothing={self.smoothing} is too wide for a map of pipeline.backbone.side={self.side}"
            )
        for category in dict.fromkeys(sample.category for sample in context.samples):
            normal_images(context, category, number=None, setting=NAME)
        chosen = choose(context, self.backbone.wanted(), pipeline=NAME, allow_random=self.allow_random_weights)
        note_training(context, f"{NAME}: memory of normal patches")
        return chosen

    def _bank(self, context: Context, chosen: dict[str, Chosen], images: tuple[Sample, ...]) -> NDArray[np.float32]:
        """The remembered patches of a category, (M, C); at most ``most`` times C times 4 bytes."""

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
        self, context: Context, weights: Chosen, images: tuple[Sample, ...]
    ) -> tuple[NDArray[np.float32], int]:
        """Choose what is remembered of some images; also how many patches they have."""
        import torch

        kept: list[torch.Tensor] = []
        seen = 0
        each = max(1, self.candidates // len(images))
        draws = np.random.default_rng(context.seed)
        network = self.backbone.load(context, weights)
        readable = (image for _, image in context.images(images))
        while some := list(islice(readable, BATCH)):
            for patches in network.each(some, lambda _, found: patch_vectors(found.maps)):
                seen += len(patches)
                if len(patches) > each:
                    patches = patches[torch.from_numpy(np.sort(draws.choice(len(patches), each, replace=False)))]
                kept.append(patches.cpu())
        if not kept:
            raise DataError(f"none of the {len(images)} good training images of {images[0].category} can be read")
        together = torch.cat(kept).to(context.device)
        number = min(self.most, max(1, round(self.share * len(together))))
        index = choose_spread(together, number=number, seed=context.seed)
        return np.asarray(together[torch.from_numpy(index).to(together.device)].cpu().numpy()), seen

    def _distances(self, context: Context, chosen: dict[str, Chosen], category: str) -> Stage:
        """Each patch's distance to the memory, (g * g,), the image score, and the size of the image."""
        images = normal_images(context, category, number=None, setting=NAME)
        held: list[torch.Tensor] = []

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            import torch

            if not held:
                held.append(torch.from_numpy(self._bank(context, chosen, images)).to(context.device))
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

    def _reach(self) -> int:
        """Half the side of the Gaussian over the map."""
        return int(4.0 * self.smoothing + 0.5)

    def _draw(self, distances: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Draw the distances over the image, smoothed."""
        import torch
        from torch.nn import functional as F
        from torchvision.transforms.functional import gaussian_blur

        grid = math.isqrt(len(distances))
        drawn = F.interpolate(torch.from_numpy(distances).view(1, 1, grid, grid), (self.side, self.side))
        if self.smoothing:
            drawn = gaussian_blur(drawn, 2 * self._reach() + 1, self.smoothing)
        whole = F.interpolate(drawn, size, mode="bilinear", align_corners=False)[0, 0]
        return np.asarray(whole.numpy(), dtype=np.float32)
