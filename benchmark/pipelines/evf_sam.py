"""EVF-SAM: one mask for a text, by an adapter to the user's own checkout and weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Prediction
from benchmark.core.settings import FilePath, FolderPath
from benchmark.models.evf_sam import EvfSam, check_checkout, code_digest, weights_digest
from benchmark.models.runtime import Device, Precision
from benchmark.pipelines.prompts import Prompts
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.weights.used import WeightsUsed

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class EvfSamPipeline(Pipeline):
    """EVF-SAM (arXiv 2406.20076; hustvl/EVF-SAM:inference.py, model type ``ori``).

    It needs libraries of an age that cannot live beside this package's, so it runs as a process of its own.
    """

    toy = None

    checkout: FolderPath | None
    """Folder of a checkout of hustvl/EVF-SAM."""
    python: FilePath | None
    """Interpreter of the environment that the checkout needs."""
    weights: FolderPath | None
    """Folder with config, tokenizer and weights (YxZhang/evf-sam)."""
    precision: Precision
    semantic: bool
    """Put "[semantic] " before texts, as the multitask weights want it."""
    prompts: Prompts
    combine: Literal["max", "mean"]
    """Of the probabilities of several texts."""

    def missing(self) -> tuple[str, str] | None:
        """Say in a phrase what is not there, and how to get it; None where all is."""
        try:
            check_checkout(self.checkout, self.python)
            weights_digest(self.weights)
        except (ConfigError, WeightsError):
            return "no EVF-SAM checkout or weights", 'ARGS="evf_sam.checkout=… evf_sam.python=… evf_sam.weights=…"'
        return None

    def check(self, context: Context) -> None:
        """Raise ConfigError where checkout or interpreter is not there, or texts are for a category that is not."""
        check_checkout(self.checkout, self.python)
        self.prompts.check(context.manifest)

    def plan(self, context: Context) -> Plan:
        """Plan a probability map and the mask, logit > 0; the map's maximum is the image score.

        Raises:
            WeightsError: there are no weights.
        """
        folder, digest = weights_digest(self.weights)
        # Not known which images its training data hold: RefCOCO, ADE20K and others by the checkpoint.
        name = f"EVF-SAM {folder.name}"
        context.note_weights(WeightsUsed(name=name, sha256=digest, licence=None, trained_on=None, target_data=None))
        return Plan(stages=self.prompts.stages(context, partial(self._logits, context)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        artifact = one.artifact
        logits = np.asarray(artifact["logits"], dtype=np.float32)
        each = 1.0 / (1.0 + np.exp(-np.clip(logits, -80, 80)))
        drawn = (each.max(axis=0) if self.combine == "max" else each.mean(axis=0)).astype(np.float32)
        mask = np.asarray((logits > 0).any(axis=0))
        return Prediction(score_map=drawn, image_score=float(drawn.max()), mask=mask, label=bool(mask.any()))

    def _logits(self, context: Context, texts: tuple[str, ...]) -> Stage:
        """The logits of every text, (N, H, W) float32."""
        checkout, python = check_checkout(self.checkout, self.python)
        folder, digest = weights_digest(self.weights)
        device = Device(name=context.device, precision=self.precision)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = context.model(
                ("evf_sam", str(checkout), str(python), digest, device, self.semantic),
                lambda: EvfSam(
                    checkout=checkout,
                    python=python,
                    weights=folder,
                    device=device.name,
                    precision=device.precision,
                    semantic=self.semantic,
                ),
            )
            return [{"logits": network.logits(one.pixels, texts)} for one in inputs]

        return Stage(
            name="evf_sam_logits",
            version=1,
            settings={
                "precision": self.precision,
                "semantic": self.semantic,
                "texts": list(texts),
                "code": code_digest(checkout),
            },
            weights={"evf_sam": digest},
            compute=compute,
        )
