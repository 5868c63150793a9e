"""Any model of anomalib, fitted on the good training images of each category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Prediction
from benchmark.core.text import counted
from benchmark.models import anomalib_build, anomalib_model
from benchmark.models.anomalib_build import ModelSettings
from benchmark.models.choice import PUBLISHED, RANDOM, Networks, WeightsRequest, WeightsSetting
from benchmark.pipelines.references import GOOD, content_of, normal_images
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.weights.used import WeightsUsed

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

NAME = "anomalib"


class Anomalib(Pipeline):
    """A model of open-edge-platform/anomalib (2.7), its raw maps and scores under this project's protocols.

    anomalib's own post-processing is left out: by default it chooses a threshold on the test images and scales scores
    by it. What a model learnt is stored, so that a second run fits nothing. Such models are no zero-shot methods; the
    result says so.
    """

    toy = None

    model: str | None
    """Name, as anomalib lists it: ``padim``, ``efficient_ad``, ``dinomaly``; None: it must be given."""
    options: Mapping[str, Any]
    """Arguments of its constructor: ``backbone``, ``layers``, ``coreset_sampling_ratio`` …"""
    side: int | None = Field(ge=8)
    """Images are resized to this square, of which nothing is cut away; None: the model's own size and cut."""
    epochs: int | None = Field(ge=1)
    """How often each training image is seen; None: as the model says."""
    steps: int | None = Field(ge=1)
    """Batches of training; None: as the model says."""
    batch_size: int = Field(ge=1)
    """Training images of a batch; it takes part in what trained models learn."""
    weights: WeightsSetting
    """Of the encoder that timm builds: ``published`` (by anomalib, from the libraries' caches), a file, or random."""
    allow_random_weights: bool
    download: bool
    """Whether anomalib may fetch what is not on this machine."""

    def missing(self) -> tuple[str, str | None] | None:
        """Say that the library is not installed, or no model named; None where all is there."""
        if not anomalib_build.is_installed():
            return "the library anomalib is not installed", "make extras"
        return None if self.model else ("no model of anomalib is named", 'ARGS="pipeline.model=padim"')

    def networks(self) -> Networks:
        """Return the encoder, where it is not anomalib's own choice."""
        if self.weights == PUBLISHED:
            return Networks()
        asked = WeightsRequest(weights=self.weights, published=None, network=f"encoder of {NAME} {self.model}")
        return Networks(wanted={"encoder": asked}, allow_random=self.allow_random_weights)

    def not_in_result(self) -> tuple[str, ...]:
        """Return what changes no prediction."""
        return ("download",)

    def learns(self) -> tuple[str, str]:
        """Return the model."""
        return f"{NAME} {self.model}: fitted", GOOD

    def check(self, context: Context) -> None:
        """Raise ConfigError where the library or the model is not there, DataError without good training images."""
        anomalib_build.version()
        if not self.model:
            raise ConfigError("pipeline=anomalib: say which model, pipeline.model=padim (patchcore, stfpm, dinomaly …)")
        anomalib_build.check_options(self.model, self.options)
        for category in context.categories:
            normal_images(context, category, number=None, setting=NAME)

    def plan(self, context: Context) -> Plan:
        """Plan a score map, and anomalib's image score; a category's model is fitted when the first image needs it.

        Raises:
            WeightsError: the encoder's weights are not on this machine, or do not fit.
        """
        settings = self._settings(context)
        network = anomalib_build.build(settings)
        digest = anomalib_build.initial_digest(network)
        if self.weights == PUBLISHED:
            name = f"weights that {NAME} gives {self.model}"
            context.note_weights(WeightsUsed(name=name, sha256=digest, licence=None, trained_on=None, target_data=None))
        frame = anomalib_model.frame_of(network)
        if frame.share < 1:
            context.tell(
                f"{self.model} looks at the middle {frame.share:.0%} of each image alone; elsewhere its lowest score "
                "stands (pipeline.options and pipeline.side may change that)"
            )
        facts = {
            "model": self.model, "options": dict(self.options), "side": self.side, "seed": context.seed,
            "epochs": self.epochs, "steps": self.steps, "batch_size": self.batch_size,
            "anomalib": anomalib_build.version(), "initial": digest,
        }  # fmt: skip
        trained = anomalib_model.is_trained(network)
        stages = {c: (self._maps(context, settings, facts, c, trained=trained),) for c in context.categories}

        def predict(one: ImageResults) -> Prediction:
            artifact = one.artifact
            size = (int(artifact["height"]), int(artifact["width"]))
            scores = artifact["scores"]
            drawn = None if scores is None else anomalib_model.draw(np.asarray(scores), frame, size)
            return Prediction(score_map=drawn, image_score=artifact["image_score"])

        return Plan(stages=stages, predict=predict)

    def _settings(self, context: Context) -> ModelSettings:
        chosen = context.chosen.get("encoder")
        assert self.model is not None
        return ModelSettings(
            name=self.model,
            options=self.options,
            side=self.side,
            seed=context.seed,
            encoder=None if chosen is None else chosen.path,
            random=self.weights == RANDOM,
            download=self.download,
        )

    def _maps(
        self, context: Context, settings: ModelSettings, facts: Mapping[str, Any], category: str, *, trained: bool
    ) -> Stage:
        """The raw map and score of each image, and its size."""
        images = normal_images(context, category, number=None, setting=NAME)
        own = {**facts, "content": content_of(images)}

        def learn(_: Sequence[Inputs]) -> list[Artifact]:
            usable = images if context.on_error == "stop" else tuple(sample for sample, _ in context.images(images))
            if not usable:
                raise DataError(f"none of the {counted(len(images), 'good training image')} of {category} can be read")
            return [
                anomalib_model.fit(
                    settings, usable, epochs=self.epochs, steps=self.steps, batch_size=self.batch_size,
                    device=context.device,
                )
            ]  # fmt: skip

        fitted = Stage(name="anomalib_fitted", version=1, settings=own, compute=learn, needs_image=False)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = context.model(
                (fitted.fingerprint, context.device),
                lambda: anomalib_model.restored(
                    settings, context.once(fitted, "model") if trained else {}, device=context.device
                ),
            )
            found = [anomalib_model.predict(network, one.pixels, device=context.device) for one in inputs]
            return [
                {
                    "scores": raw.scores, "image_score": raw.image_score,
                    "height": one.pixels.shape[0], "width": one.pixels.shape[1],
                }
                for raw, one in zip(found, inputs, strict=True)
            ]  # fmt: skip

        return Stage(name="anomalib_maps", version=1, settings=own, compute=compute)
