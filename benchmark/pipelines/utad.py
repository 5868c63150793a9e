"""UTAD: a place is anomalous when no other places of the same image look like it; no text, no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction
from benchmark.models.backbone import Backbone
from benchmark.models.choice import Networks
from benchmark.models.score_map import resized
from benchmark.pipelines.saa.levels import Levels
from benchmark.pipelines.saa.saliency import mean_squared_distance, whole_image
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

BATCH = 4
"""Images that are worked on side by side; results do not depend on it."""


class Utad(Pipeline):
    """Zero-shot texture anomaly detection (Aota et al., WACV 2023).

    The authors' code is not public in a repository; what is computed follows a re-implementation
    (TArdelean/AnomalyLocalizationFCA:sc_methods.py, sc_aota; conf/sc/aota.yaml, conf/fe/wide.yaml).
    """

    backbone: Annotated[Backbone, group_option("pipeline.backbone")]
    """Its first layer is used."""
    rescale: bool
    """Each feature channel is scaled to [0, 1] over the image."""
    blur_size: int = Field(ge=1)
    """Side of the Gaussian that features are averaged with, in cells; odd; 1: none."""
    blur: float = Field(gt=0)
    """Its deviation, in cells."""
    distance: Literal["squared", "cosine"]
    neighbours: int = Field(ge=1)
    """K, the nearest places that each place is compared with; all where the grid has fewer."""
    map_side: int = Field(ge=32)
    """The map is drawn on a square of this side by nearest neighbour, and smoothed there."""
    smoothing_size: int = Field(ge=1)
    """Side of the Gaussian over the map, in its pixels; odd; 1: none."""
    smoothing: float = Field(gt=0)
    alpha_limit: float | None
    """Homogeneity test: the method is meant for images whose alpha, the map's maximum, is below it; null: untested."""
    allow_random_weights: bool

    @field_validator("blur_size", "smoothing_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @model_validator(mode="after")
    def _cosine_needs_a_square(self) -> Utad:
        if self.distance == "cosine" and self.backbone.side is None:
            raise ValueError("distance=cosine compares places of a square: give backbone.side")
        return self

    def networks(self) -> Networks:
        """Return the network of the features."""
        return Networks(wanted=self.backbone.wanted(), allow_random=self.allow_random_weights)

    def plan(self, context: Context) -> Plan:
        """Plan the score map; its maximum is the image score and, as ``alpha`` of ``extra``, the homogeneity test.

        With ``alpha_limit``, ``extra`` also has ``homogeneous``: 1 where the image passes the test, else 0. An image
        too small for the blur is a DataError of the stage.
        """
        return Plan(stages=dict.fromkeys(context.categories, (self._distances(context),)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        artifact = one.artifact
        drawn, alpha = self._draw(artifact["distances"], (int(artifact["height"]), int(artifact["width"])))
        extra: dict[str, float | int | str | None] = {"alpha": alpha}
        if self.alpha_limit is not None:
            extra["homogeneous"] = int(alpha < self.alpha_limit)
        return Prediction(score_map=drawn, image_score=alpha, extra=extra)

    def _distances(self, context: Context) -> Stage:
        """Each cell's distance to its nearest cells, (h, w) float32, and the size of the image."""
        chosen = context.chosen

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = self.backbone.load(context, chosen["features"])
            return network.each(
                [one.pixels for one in inputs], lambda number, found: self._one(inputs[number], found.maps[0])
            )

        names = ("rescale", "blur_size", "blur", "distance", "neighbours")
        return Stage(
            name="utad_distances",
            version=1,
            settings={
                **self.backbone.facts(layers=("stride8",), resize="bilinear"),
                **{name: getattr(self, name) for name in names},
            },
            weights={"features": chosen["features"].sha256},
            compute=compute,
            batch_size=BATCH,
        )

    def _one(self, one: Inputs, features: torch.Tensor) -> dict[str, Any]:
        from torchvision.transforms.functional import gaussian_blur

        if min(features.shape[1:]) <= self.blur_size // 2:
            where = one.sample.image if one.sample else "the image"
            cells = f"{features.shape[1]} x {features.shape[2]} cells"
            raise DataError(f"{where} gives {cells}: set pipeline.backbone.side")
        if self.rescale:
            low, high = features.amin((1, 2), keepdim=True), features.amax((1, 2), keepdim=True)
            features = (features - low) / (high - low + 1e-8)
        if self.blur_size > 1:
            features = gaussian_blur(features[None], self.blur_size, self.blur)[0]
        if self.distance == "squared":
            distances = mean_squared_distance(features, number=self.neighbours)
        else:
            distances = whole_image(Levels((features,)), number=self.neighbours, neighbours="nearest", factor=1.0)
        return {"distances": distances, "height": one.pixels.shape[0], "width": one.pixels.shape[1]}

    def _draw(self, distances: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], float]:
        """Draw the distances over the image, smoothed; also the maximum before the map takes the image's size."""
        import torch
        from torchvision.transforms.functional import gaussian_blur

        drawn = resized(distances, (self.map_side, self.map_side), resampling="nearest")
        if self.smoothing_size > 1:
            blurred = gaussian_blur(torch.from_numpy(drawn)[None, None], self.smoothing_size, self.smoothing)
            drawn = blurred[0, 0].numpy()
        return resized(drawn, size), float(drawn.max())
