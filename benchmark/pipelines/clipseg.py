"""CLIPSeg: a map of where a text applies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Prediction
from benchmark.models.choice import Networks, WeightsRequest, WeightsSetting
from benchmark.models.clip import text_reader
from benchmark.models.clip_stages import cut_off, tell_cut_off
from benchmark.models.clipseg import HOW, MOST_TOKENS, ClipSegName, Resize, load_clipseg, logits, prepare
from benchmark.models.long_texts import LongTexts
from benchmark.models.runtime import Device, Precision
from benchmark.models.score_map import resized
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class ClipSeg(Pipeline):
    """CLIPSeg (Lüddecke and Ecker, CVPR 2022; timojl/clipseg) with fixed texts."""

    toy: ClassVar = {"model": "toy", "weights": "random", "input_size": "96"}

    model: ClipSegName
    weights: WeightsSetting | None
    """Path of a weights file with transformers' names, or ``random``; null: not given."""
    precision: Precision
    input_size: int = Field(ge=32, multiple_of=16)
    """Images are squashed to a square of this side."""
    resize: Resize
    prompts: Prompts
    long_texts: LongTexts
    """What becomes of a text that is longer than the network reads."""
    combine: Literal["max", "mean"]
    """Of the probabilities of several texts."""
    threshold: float | None = Field(ge=0, le=1)
    """Probability from which a pixel is called defective; null: the map alone is given."""
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return CLIPSeg, where its weights are given."""
        if self.weights is None:
            return Networks()
        wanted = WeightsRequest(weights=self.weights, published=None, network=f"CLIPSeg {self.model}")
        return Networks(wanted={"clipseg": wanted}, allow_random=self.allow_random_weights)

    def missing(self) -> tuple[str, str] | None:
        """Say in a phrase what is not there, and how to give it; None where all is."""
        return ("no CLIPSeg weights given", 'ARGS="clipseg.weights=FILE"') if self.weights is None else None

    def check(self, context: Context) -> None:
        """Raise ConfigError where weights are not given, or texts are for a category that is not there."""
        if self.weights is None:
            raise ConfigError(f"pipeline.weights is not set: {HOW}")
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan a probability map; its maximum is the image score."""
        return Plan(
            stages=self.prompts.stages(context, partial(self._logits, context)), predict=partial(self._predict, context)
        )

    def _predict(self, context: Context, one: ImageResults) -> Prediction:
        import torch

        artifact = one.artifact
        tell_cut_off(context, self.long_texts, artifact)
        each = torch.from_numpy(np.asarray(artifact["logits"])).sigmoid()
        joined = each.amax(0) if self.combine == "max" else each.mean(0)
        size = (int(artifact["height"]), int(artifact["width"]))
        drawn = resized(joined.numpy(), size)
        mask = None if self.threshold is None else drawn >= np.float32(self.threshold)
        label = None if mask is None else bool(mask.any())
        return Prediction(score_map=drawn, image_score=float(drawn.max()), mask=mask, label=label)

    def _logits(self, context: Context, texts: tuple[str, ...]) -> Stage:
        """The logits of every text, (N, side, side), and the size of the image."""
        weights = context.chosen["clipseg"]
        device = Device(name=context.device, precision=self.precision)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = context.model(
                ("clipseg", self.model, weights.sha256, context.device),
                lambda: load_clipseg(self.model, weights=weights.path, device=context.device),
            )
            found: list[Artifact] = []
            for one in inputs:
                pixels = prepare(one.pixels, side=self.input_size, resize=self.resize)
                answer = logits(network, pixels, texts, device=device, long_texts=self.long_texts)
                size = {"height": one.pixels.shape[0], "width": one.pixels.shape[1]}
                found.append({"logits": answer, **size, **cut_off(text_reader(MOST_TOKENS), texts)})
            return found

        return Stage(
            name="clipseg_logits",
            version=1,
            settings={
                **self.model_dump(include={"model", "precision", "input_size", "resize"}),
                "texts": list(texts),
            },
            weights={"clipseg": weights.sha256},
            compute=compute,
        )
