"""EVF-SAM: one mask for a text, by an adapter to the user's own checkout and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.errors import ConfigError, WeightsError
from benchmark.models.evf_sam import EvfSam, check_checkout, code_digest, weights_digest
from benchmark.models.runtime import Device, Precision
from benchmark.pipelines.prompts import Prompts
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage, WeightsUsed

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact


class EvfSamPipeline(Settings):
    """EVF-SAM (arXiv 2406.20076; hustvl/EVF-SAM:inference.py, model type ``ori``).

    It needs libraries of an age that cannot live beside this package's, so it runs as a process of its own.
    """

    checkout: Path | None
    """Folder of a checkout of hustvl/EVF-SAM."""
    python: Path | None
    """Interpreter of the environment that the checkout needs."""
    weights: Path | None
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

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of every set of texts.

        Raises:
            ConfigError: the checkout or its interpreter is not there, or texts for a category that is not.
            WeightsError: there are no weights.
        """
        return tuple(self._logits(context, texts) for texts in self._prepare(context).distinct(context.samples))

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield the probability map and the mask, logit > 0, of every sample; the map's maximum is the image score.

        Raises:
            ConfigError: the checkout or its interpreter is not there, or texts for a category that is not.
            WeightsError: there are no weights.
        """
        for texts, samples in self._prepare(context).runs(context.samples):
            for sample, artifact in context.run(self._logits(context, texts), samples):
                yield sample, self._predict(artifact)

    def _predict(self, artifact: Artifact) -> Prediction:
        logits = np.asarray(artifact["logits"], dtype=np.float32)
        each = 1.0 / (1.0 + np.exp(-np.clip(logits, -80, 80)))
        drawn = (each.max(axis=0) if self.combine == "max" else each.mean(axis=0)).astype(np.float32)
        mask = np.asarray((logits > 0).any(axis=0))
        return Prediction(score_map=drawn, image_score=float(drawn.max()), mask=mask, label=bool(mask.any()))

    def _prepare(self, context: Context) -> Prompts:
        check_checkout(self.checkout, self.python)
        self.prompts.check(context.manifest)
        return self.prompts

    def _logits(self, context: Context, texts: tuple[str, ...]) -> Stage:
        """The logits of every text, (N, H, W) float32."""
        checkout, python = check_checkout(self.checkout, self.python)
        folder, digest = weights_digest(self.weights)
        device = Device(name=context.device, precision=self.precision)
        name = f"EVF-SAM {folder.name}"
        # Not known which images its training data hold: RefCOCO, ADE20K and others by the checkpoint.
        context.note_weights(WeightsUsed(name=name, sha256=digest, licence=None, trained_on=None, target_data=None))

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
