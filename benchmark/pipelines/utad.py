"""UTAD: a place is anomalous when no other places of the same image look like it; no text, no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from benchmark.errors import DataError
from benchmark.models.choice import Chosen, Networks, Wanted, WeightsSetting
from benchmark.models.resnet import MEAN, STD
from benchmark.models.runtime import Device, Precision
from benchmark.models.wide_resnet import SaliencyName, load_wide_resnet
from benchmark.pipeline import ImageResults, Pipeline, Plan
from benchmark.saa.levels import Levels
from benchmark.saa.saliency import mean_squared_distance, whole_image
from benchmark.samples import Prediction
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.artifacts import Artifact

NAME = "utad"


class Utad(Pipeline):
    """Zero-shot texture anomaly detection (Aota et al., WACV 2023).

    The authors' code is not public in a repository; what is computed follows a re-implementation
    (TArdelean/AnomalyLocalizationFCA:sc_methods.py, sc_aota; conf/sc/aota.yaml, conf/fe/wide.yaml).
    """

    model: SaliencyName
    weights: WeightsSetting
    """``published`` (torchvision's ImageNet ones), ``random``, a name of conf/weights, or the path of a file."""
    precision: Precision
    side: int | None = Field(ge=64)
    """Images are resized to this square, bilinear; null: they keep their size."""
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
        if self.distance == "cosine" and self.side is None:
            raise ValueError("distance=cosine compares places of a square: give side")
        return self

    def networks(self) -> Networks:
        """Return the network of the features."""
        published = {"wide_resnet50_2": "wide_resnet50_2_imagenet"}.get(self.model)
        features = Wanted(weights=self.weights, published=published, network=f"features {self.model}")
        return Networks(wanted={"features": features}, allow_random=self.allow_random_weights)

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
            return [self._one(context, chosen["features"], one) for one in inputs]

        names = ("model", "precision", "side", "rescale", "blur_size", "blur", "distance", "neighbours")
        return Stage(
            name="utad_distances",
            version=1,
            settings={name: getattr(self, name) for name in names},
            weights={"features": chosen["features"].sha256},
            compute=compute,
        )

    def _one(self, context: Context, weights: Chosen, one: Inputs) -> dict[str, Any]:
        from torchvision.transforms.functional import gaussian_blur

        features = self._features(context, weights, one.pixels)
        if min(features.shape[1:]) <= self.blur_size // 2:
            where = one.sample.image if one.sample else "the image"
            raise DataError(f"{where} gives {features.shape[1]} x {features.shape[2]} cells: set pipeline.side")
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

    def _features(self, context: Context, weights: Chosen, image: NDArray[np.uint8]) -> torch.Tensor:
        """Features of stride 8, (C, h, w) float32."""
        import torch
        from torch.nn import functional as F

        network = context.model(
            ("saliency", self.model, weights.sha256, context.device),
            lambda: load_wide_resnet(self.model, weights=weights.path, device=context.device),
        )
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        if self.side is not None:
            pixels = F.interpolate(pixels, (self.side, self.side), mode="bilinear", align_corners=False)
        mean, deviation = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        device = Device(name=context.device, precision=self.precision)
        with device.inference():
            found: torch.Tensor = network(((pixels - mean) / deviation).to(device.name))[1][0].float()
            return found

    def _draw(self, distances: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], float]:
        """Draw the distances over the image, smoothed; also the maximum before the map takes the image's size."""
        import torch
        from torch.nn import functional as F
        from torchvision.transforms.functional import gaussian_blur

        drawn = F.interpolate(torch.from_numpy(distances)[None, None], (self.map_side, self.map_side))
        if self.smoothing_size > 1:
            drawn = gaussian_blur(drawn, self.smoothing_size, self.smoothing)
        whole = F.interpolate(drawn, size, mode="bilinear", align_corners=False)[0, 0]
        return np.asarray(whole.numpy(), dtype=np.float32), float(drawn.max())
