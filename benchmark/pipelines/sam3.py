"""SAM 3: a map of where the concept of a text is, and whether the image shows it at all; zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.samples import Prediction
from benchmark.models import pretrained
from benchmark.models.choice import Networks, WeightsRequest, WeightsSetting
from benchmark.models.runtime import Device, Precision
from benchmark.models.sam3 import Sam3, Sam3Name, load_sam3
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class TextToMask(Pipeline):
    """SAM 3 with fixed texts (transformers:models/sam3, ``post_process_semantic_segmentation``).

    The image is encoded once for all texts, and what it became is stored: other texts cost their decoder alone.
    """

    toy: ClassVar = {"model": "toy", "weights": "random"}

    model: Sam3Name
    weights: WeightsSetting
    """``published`` are those of the model."""
    precision: Precision
    """Of the image side; texts are asked in float32."""
    batch_size: int = Field(ge=1)
    """Images that are encoded together."""
    prompts: Prompts
    combine: Literal["max", "mean"]
    """Of the maps of several texts, and of their presences."""
    image_score: Literal["presence", "map_max"]
    """Probability that the image shows the concept, or the map's maximum."""
    threshold: float | None = Field(ge=0, le=1)
    """Probability from which a pixel is called defective; null: the map alone is given."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return SAM 3."""
        if self.model == "toy":
            wanted = WeightsRequest(weights=self.weights, published=None, network="SAM 3 toy")
        else:
            wanted = pretrained.request(self.model, self.weights, network="SAM 3")
        return Networks(wanted={"sam3": wanted}, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for texts for a category that is not there."""
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan a probability map; ``extra`` has the presence."""
        image = self._image(context)
        return Plan(stages=self.prompts.stages(context, partial(self._answers, context, image)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        import torch
        from torch.nn import functional as F

        artifact = one.artifact
        size = (int(artifact["height"]), int(artifact["width"]))
        maps = torch.from_numpy(np.asarray(artifact["scores"]))
        wide = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
        drawn = (wide.amax(0) if self.combine == "max" else wide.mean(0)).numpy()
        each = np.asarray(artifact["presence"])
        presence = float(each.max() if self.combine == "max" else each.mean())
        mask = None if self.threshold is None else drawn >= np.float32(self.threshold)
        return Prediction(
            score_map=drawn,
            image_score=presence if self.image_score == "presence" else float(drawn.max()),
            mask=mask,
            label=None if mask is None else bool(mask.any()),
            extra={"presence": round(presence, 6)},
        )

    def _load(self, context: Context) -> Sam3:
        device, weights = Device(name=context.device, precision=self.precision), context.chosen["sam3"]
        return context.model(
            ("sam3", pretrained.key_of(self.model), weights.sha256, device),
            lambda: load_sam3(self.model, weights=weights.path, device=device),
        )

    def _image(self, context: Context) -> Stage:
        """The maps that texts are compared with: ``map_0`` … (C, h, w) float32, ``height`` and ``width``."""

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            images = [one.pixels for one in inputs]
            found = self._load(context).encode(images)
            return [
                {**{f"map_{n}": level for n, level in enumerate(maps)}, "height": len(image), "width": image.shape[1]}
                for maps, image in zip(found, images, strict=True)
            ]

        toy = self.model == "toy"
        return Stage(
            name="sam3_image",
            version=1,
            settings={
                "model": "toy" if toy else pretrained.name_of(self.model),
                "description": "" if toy else pretrained.description_digest(self.model),
                "precision": self.precision,
            },
            weights={"sam3": context.chosen["sam3"].sha256},
            compute=compute,
            batch_size=self.batch_size,
            expected_bytes=111_000_000,  # 256 x (288², 144², 72²) float32, as the published network has them
        )

    def _answers(self, context: Context, image: Stage, texts: tuple[str, ...]) -> Stage:
        """For every text the ``scores`` (N, h, w) and the ``presence`` (N,)."""

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = self._load(context)
            results: list[Artifact] = []
            for one in inputs:
                seen = one.upstream["sam3_image"]
                maps = [seen[name] for name in sorted(seen) if name.startswith("map_")]
                scores, presence = network.ask(maps, texts)
                size = {"height": seen["height"], "width": seen["width"]}
                results.append({"scores": scores, "presence": presence, **size})
            return results

        return Stage(
            name="sam3_answers",
            version=1,
            settings={"texts": list(texts)},
            weights={"sam3": context.chosen["sam3"].sha256},
            upstream=(image,),
            compute=compute,
            needs_image=False,
        )
