"""AnomalyDINO: how far each patch of an image is from the patches of a few good images, on DINOv2's features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import Pipeline, Plan
from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.models.anomaly_dino import Growth, cosine_distances, draw, foreground, joined, mean_of_largest, turned
from benchmark.models.backbone import Backbone, Features
from benchmark.models.choice import Networks
from benchmark.pipelines.references import GOOD, content_of, normal_images
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

NAME = "anomaly_dino"


class AnomalyDino(Pipeline):
    """AnomalyDINO (Damm et al., WACV 2025, arXiv 2405.14529; dammsi/AnomalyDINO), few-shot.

    Beside the official code: images are resized to a square as every feature network of this package takes them
    (there the short side is 448 pixels and the long one is cropped to whole patches; the same for square images, up
    to the kernel, bilinear here and bicubic there), and the good images are chosen by run.seed, not by their place
    in the folder. It learns from training images; the result says so, and names them.
    """

    toy: ClassVar = {"shots": "2", "masked": "all", "mask_threshold": "0.5"}

    backbone: Annotated[Backbone, group_option("pipeline.backbone")]
    """Its layers are put together on the grid of the first one."""
    shots: int = Field(ge=1)
    """Good training images of each category, chosen by run.seed."""
    angles: tuple[float, ...] = Field(min_length=1)
    """Each of them is remembered turned by these angles, degrees; ``[0]``: as it is."""
    masked: Literal["all"] | tuple[str, ...]
    """Categories of which the background is left out of test images: those with one object in the centre."""
    mask_references: bool
    """Leave it out of the good images of these categories too."""
    mask_threshold: float
    """The foreground's first principal component exceeds it, in units of the features."""
    mask_growth: Growth
    """How it is grown: ``rows`` (the released code) or ``square`` (3 x 3 patches)."""
    neighbours: int = Field(ge=1)
    """Remembered patches whose distances are averaged."""
    top: float = Field(gt=0, le=1)
    """Part of the patches whose mean distance is the image score: the largest ones."""
    smoothing: float = Field(ge=0)
    """Deviation of the Gaussian over the map, in pixels of the image; 0: none."""
    batch_size: int = Field(ge=1)
    """Images that go through the network together."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return the network of the features."""
        return Networks(wanted=self.backbone.wanted(), allow_random=self.allow_random_weights)

    def learns(self) -> tuple[str, str]:
        """Return the memory of a few images."""
        return f"{NAME}: {counted(self.shots, 'good image')} of each category (few-shot)", GOOD

    def check(self, context: Context) -> None:
        """Raise DataError for a category with fewer good training images than ``shots``."""
        for category in context.categories:
            self._references(context, category)

    def plan(self, context: Context) -> Plan:
        """Plan a score map and an image score; ``references`` of ``extra`` names the good images."""
        stages = {category: (self._distances(context, category),) for category in context.categories}
        names = {c: "\n".join(image.id for image in self._references(context, c)) for c in context.categories}
        return Plan(stages=stages, predict=lambda one: self._predict(one.artifact, names[one.sample.category]))

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return the table ``references``: the good images of each category, see ``references_of``."""
        return {"references": references_of(rows)}

    def _predict(self, artifact: Artifact, references: str) -> Prediction:
        distances = artifact["distances"]
        size = (int(artifact["height"]), int(artifact["width"]))
        return Prediction(
            score_map=draw(distances, size, smoothing=self.smoothing),
            image_score=mean_of_largest(distances.ravel(), self.top),
            extra={"references": references, "foreground": float(artifact["foreground"])},
        )

    def _references(self, context: Context, category: str) -> tuple[Sample, ...]:
        return normal_images(context, category, number=self.shots, setting="pipeline.shots")

    def _is_masked(self, category: str) -> bool:
        return self.masked == "all" or category in self.masked

    def _memory(self, context: Context, category: str) -> NDArray[np.float32]:
        """The remembered patches of a category, (M, C) float32 of length 1."""
        images = self._references(context, category)

        def compute(_: Sequence[Inputs]) -> list[Artifact]:
            found = [self._remembered(context, image, category) for _, image in context.images(images)]
            if len(found) < len(images):
                raise DataError(
                    f"{len(images) - len(found)} of the {counted(len(images), 'good image')} of {category} are broken"
                )
            return [{"memory": np.concatenate(found)}]

        stage = Stage(
            name="anomaly_dino_memory",
            version=1,
            settings={**self._memory_facts(category), "content": content_of(images)},
            weights={"features": context.chosen["features"].sha256},
            compute=compute,
            needs_image=False,
        )
        return np.asarray(context.once(stage, "memory")["memory"])

    def _remembered(self, context: Context, image: NDArray[np.uint8], category: str) -> NDArray[np.float32]:
        """The patches of one good image, turned by every angle."""
        from torch.nn import functional as F

        masked = self.mask_references and self._is_masked(category)

        def work(_: int, features: Features) -> NDArray[np.float32]:
            patches, grid = joined(features.maps)
            kept = patches[self._foreground(patches, grid)] if masked else patches
            return np.asarray(F.normalize(kept, dim=1).cpu().numpy())

        network = self.backbone.load(context, context.chosen["features"])
        return np.concatenate(network.each(turned(image, self.angles), work))

    def _foreground(self, patches: torch.Tensor, grid: tuple[int, int]) -> NDArray[np.bool_]:
        return foreground(patches.cpu().numpy(), grid, threshold=self.mask_threshold, growth=self.mask_growth)

    def _distances(self, context: Context, category: str) -> Stage:
        """Each patch's distance to the memory, (h, w), 0 in the background, and the size of the image."""
        held: list[torch.Tensor] = []
        masked = self._is_masked(category)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            import torch

            if not held:
                held.append(torch.from_numpy(self._memory(context, category)).to(context.device))
            network = self.backbone.load(context, context.chosen["features"])
            return network.each(
                [one.pixels for one in inputs],
                lambda number, found: self._one(found.maps, held[0], inputs[number].pixels.shape, masked=masked),
            )

        return Stage(
            name="anomaly_dino_distances",
            version=1,
            settings={
                **self._memory_facts(category),
                "masked": self._mask_facts() if masked else None,
                "neighbours": self.neighbours,
                "content": content_of(self._references(context, category)),
            },
            weights={"features": context.chosen["features"].sha256},
            compute=compute,
            batch_size=self.batch_size,
        )

    def _one(
        self, maps: Sequence[torch.Tensor], memory: torch.Tensor, shape: tuple[int, ...], *, masked: bool
    ) -> dict[str, Any]:
        patches, grid = joined(maps)
        kept = self._foreground(patches, grid) if masked else np.ones(len(patches), dtype=bool)
        distances = np.zeros(len(patches), dtype=np.float32)
        distances[kept] = cosine_distances(patches[kept], memory, neighbours=self.neighbours).cpu().numpy()
        return {
            "distances": distances.reshape(grid),
            "foreground": float(kept.mean()),
            "height": shape[0],
            "width": shape[1],
        }

    def _memory_facts(self, category: str) -> dict[str, Any]:
        masked = self.mask_references and self._is_masked(category)
        facts = {"angles": list(self.angles), "mask_references": self._mask_facts() if masked else None}
        return {**self.backbone.facts(), **facts}

    def _mask_facts(self) -> dict[str, Any]:
        return {"threshold": self.mask_threshold, "growth": self.mask_growth}


def references_of(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return which good images each category was compared with.

    Args:
        rows: per-image rows with ``category`` and ``references`` (ids, one a line; None: not predicted).

    Returns:
        One row an image: category, image.
    """
    by_category = {str(row["category"]): str(row["references"]) for row in rows if row.get("references") is not None}
    return [
        {"category": category, "image": name} for category, names in by_category.items() for name in names.split("\n")
    ]
