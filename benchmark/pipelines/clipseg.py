"""CLIPSeg: a map of where a text applies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from benchmark.errors import ConfigError
from benchmark.models.choice import Chosen, Wanted, choose, needed
from benchmark.models.clipseg import HOW, ClipSegName, Resize, load_clipseg, logits, prepare
from benchmark.models.runtime import Device, Precision
from benchmark.pipelines.prompts import Prompts
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact

NAME = "clipseg"


class ClipSeg(Settings):
    """CLIPSeg (Lüddecke and Ecker, CVPR 2022; timojl/clipseg) with fixed texts."""

    model: ClipSegName
    weights: str | None
    """Path of a weights file with transformers' names, or ``random``; null: not given."""
    precision: Precision
    input_size: int = Field(ge=32, multiple_of=16)
    """Images are squashed to a square of this side."""
    resize: Resize
    prompts: Prompts
    combine: Literal["max", "mean"]
    """Of the probabilities of several texts."""
    threshold: float | None = Field(ge=0, le=1)
    """Probability from which a pixel is called defective; null: the map alone is given."""
    allow_random_weights: bool

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self._wanted())

    def missing(self) -> tuple[str, str] | None:
        """Say in a phrase what is not there, and how to give it; None where all is."""
        return ("no CLIPSeg weights given", 'ARGS="clipseg.weights=FILE"') if self.weights is None else None

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of every set of texts.

        Raises:
            ConfigError: weights are not given or may not be random, or texts for a category that is not there.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        return tuple(self._logits(context, chosen, texts) for texts in self.prompts.distinct(context.samples))

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield the probability map of every sample; its maximum is the image score.

        Raises:
            ConfigError: weights are not given or may not be random, or texts for a category that is not there.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        for texts, samples in self.prompts.runs(context.samples):
            for sample, artifact in context.run(self._logits(context, chosen, texts), samples):
                yield sample, self._predict(artifact)

    def _predict(self, artifact: Artifact) -> Prediction:
        import torch
        from torch.nn import functional as F

        each = torch.from_numpy(np.asarray(artifact["logits"])).sigmoid()
        joined = each.amax(0) if self.combine == "max" else each.mean(0)
        size = (int(artifact["height"]), int(artifact["width"]))
        drawn = F.interpolate(joined[None, None], size, mode="bilinear", align_corners=False)[0, 0].numpy()
        mask = None if self.threshold is None else drawn >= np.float32(self.threshold)
        label = None if mask is None else bool(mask.any())
        return Prediction(score_map=drawn, image_score=float(drawn.max()), mask=mask, label=label)

    def _wanted(self) -> dict[str, Wanted]:
        if self.weights is None:
            return {}
        return {"clipseg": Wanted(weights=self.weights, published=None, network=f"CLIPSeg {self.model}")}

    def _prepare(self, context: Context) -> dict[str, Chosen]:
        if self.weights is None:
            raise ConfigError(f"pipeline.weights is not set: {HOW}")
        self.prompts.check(context.manifest)
        return choose(context, self._wanted(), pipeline=NAME, allow_random=self.allow_random_weights)

    def _logits(self, context: Context, chosen: dict[str, Chosen], texts: tuple[str, ...]) -> Stage:
        """The logits of every text, (N, side, side), and the size of the image."""
        weights = chosen["clipseg"]
        device = Device(name=context.device, precision=self.precision)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = context.model(
                ("clipseg", self.model, weights.sha256, context.device),
                lambda: load_clipseg(self.model, weights=weights.path, device=context.device),
            )
            found: list[Artifact] = []
            for one in inputs:
                pixels = prepare(one.pixels, side=self.input_size, resize=self.resize)
                answer = logits(network, pixels, texts, device=device)
                found.append({"logits": answer, "height": one.pixels.shape[0], "width": one.pixels.shape[1]})
            return found

        return Stage(
            name="clipseg_logits",
            version=1,
            settings={
                "model": self.model,
                "precision": self.precision,
                "input_size": self.input_size,
                "resize": self.resize,
                "texts": list(texts),
            },
            weights={"clipseg": weights.sha256},
            compute=compute,
        )
