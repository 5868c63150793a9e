"""Stages around CLIP and SAM that several pipelines share through the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.errors import ConfigError
from benchmark.models import clip_build
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.clip import Clip, prompt_ensemble, squash, squash_tensor
from benchmark.models.clip_build import ClipName, load_clip
from benchmark.models.long_texts import LongTexts, TextReader
from benchmark.models.runtime import Device
from benchmark.models.text_image import Logits, Need, TextImage, TextImageNetwork
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

ImagePath = Literal["squashed", "text2seg"]
ToRgb = Literal["first", "after_resize"]
"""When alpha, palette and depth of a file are given up: before it is resized, or after, as where ``Resize`` works on
what ``PIL.Image.open`` gives."""


CUT_OFF = "cut_off"
"""Of an artifact: what of its texts was not read, in a sentence."""


class ClipSettings(TextImage):
    """Which of the CLIPs that the papers use, and how its image side computes; other networks are ``clip`` options."""

    toy: ClassVar = {"model": "toy", "weights": "random", "precision": "fp32"}

    model: ClipName
    weights: WeightsSetting
    input_size: int = Field(ge=32)
    """Side of the square that images are resized to, in pixels."""

    @property
    def side(self) -> int:
        """Side of the square that images are resized to, pixels."""
        return self.input_size

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of images, as JSON values for a stage."""
        return {"model": self.model, "precision": self.precision, "input_size": self.input_size}

    def text_facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of texts, as JSON values for a stage."""
        return {"model": self.model}

    def lacks(self, need: Need) -> str | None:
        """Return what stands against a method's need; a CLIP is trained by a softmax over a batch's texts."""
        return "it has no probability of a pair, only shares of a softmax" if need == "sigmoid" else None

    def prepare(
        self, network: TextImageNetwork, image: NDArray[np.uint8], *, on: Literal["pixels", "tensor"] = "pixels"
    ) -> torch.Tensor:
        """Resize and normalise an image for the network (``TextImage.prepare``)."""
        return squash(image, self.input_size, on=on)

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        published = clip_build.PUBLISHED.get(self.model)
        return {"clip": WeightsRequest(weights=self.weights, published=published, network=f"CLIP {self.model}")}

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> Clip:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["clip"]

        def load() -> Clip:
            return Clip(load_clip(self.model, weights=weights.path, device=device.name), device=device)

        return context.model(("clip", self.model, weights.sha256, device), load)


def seen(one: Inputs, side: int, *, to_rgb: ToRgb) -> NDArray[np.uint8]:
    """Return the image, or with ``after_resize`` its square of ``side`` pixels where that differs, (H, W, 3) RGB."""
    if to_rgb == "first" or one.sample is None:
        return one.pixels
    from benchmark.data.images import squared_as_stored

    squared = squared_as_stored(one.sample.image, side, one.sample.reading)
    return one.pixels if squared is None else squared


class TextVector(NamedTuple):
    """A text as a network reads it."""

    vector: NDArray[np.float32]
    """(E,) unit vector."""
    logits: Logits
    """How the network turns a cosine with it into a logit."""
    cut_off: Mapping[str, Any]
    """What an artifact that is made of it keeps for ``tell_cut_off``; empty where the text was read whole."""


def text_vector(
    context: Context, settings: TextImage, chosen: Mapping[str, ResolvedWeights], text: str, *, ensemble: bool
) -> TextVector:
    """The unit vector of a text, computed once per text and kept in the store.

    Args:
        ensemble: mean over the 85 templates of CLIP Surgery; otherwise the text as it stands.
    """

    def compute(_: Sequence[Inputs]) -> list[Artifact]:
        prompts = prompt_ensemble(text) if ensemble else [text]
        network = settings.load(context, chosen)
        told = {k: v for k, v in network.logits._asdict().items() if v != Logits._field_defaults[k]}
        vector = network.text(prompts, long_texts=settings.long_texts)
        return [{"vector": vector, **told, **cut_off(network.reader, prompts)}]

    stage = Stage(
        name="clip_text",
        version=1,
        settings={**settings.text_facts(), "ensemble": ensemble, "text": text},
        weights={"clip": chosen["clip"].sha256},
        compute=compute,
        needs_image=False,
    )
    found = context.once(stage, text)
    tell_cut_off(context, settings.long_texts, found)
    logits = Logits(**{name: float(found[name]) for name in Logits._fields if name in found})
    return TextVector(np.asarray(found["vector"]), logits, {k: v for k, v in found.items() if k == CUT_OFF})


def prompt_vectors(
    context: Context, settings: TextImage, chosen: Mapping[str, ResolvedWeights], prompts: Sequence[str]
) -> NDArray[np.float32]:
    """The vectors of some prompts, (N, E) float32, not normalised, kept in the store as one set."""

    def compute(_: Sequence[Inputs]) -> list[Artifact]:
        network = settings.load(context, chosen)
        vectors = network.text_vectors(prompts, long_texts=settings.long_texts)
        return [{"vectors": vectors, **cut_off(network.reader, prompts)}]

    stage = Stage(
        name="clip_prompts",
        version=1,
        settings={**settings.text_facts(), "prompts": list(prompts)},
        weights={"clip": chosen["clip"].sha256},
        compute=compute,
        needs_image=False,
    )
    found = context.once(stage, "prompts")
    tell_cut_off(context, settings.long_texts, found)
    return np.asarray(found["vectors"])


def cut_off(reader: TextReader, prompts: Sequence[str]) -> Artifact:
    """Return what a stage of texts keeps of those that are longer than the network reads."""
    note = reader.check(prompts, "truncate")
    return {CUT_OFF: note} if note else {}


def tell_cut_off(context: Context, how: LongTexts, artifact: Artifact) -> None:
    """Say in the result what of the texts of a stage was not read.

    Raises:
        ConfigError: they were stored with ``long_texts=truncate``, and are refused now.
    """
    if CUT_OFF not in artifact:
        return
    if how == "refuse":
        raise ConfigError(f"{artifact[CUT_OFF]}: shorten the text, or set long_texts=truncate")
    context.tell(str(artifact[CUT_OFF]))


def vector_stage(context: Context, settings: TextImage, chosen: Mapping[str, ResolvedWeights]) -> Stage:
    """The vector of an image; ``image_vector`` reads it.

    Of a CLIP it is the first of the tokens that other pipelines keep too, of others it is kept alone.
    """
    if isinstance(settings, ClipSettings):
        return tokens_stage(context, settings, chosen, surgery=0, image_path="squashed")

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        found = settings.embed(settings.load(context, chosen), [one.pixels for one in inputs])
        return [{"vector": one} for one in found]

    return Stage(
        name="clip_image",
        version=1,
        settings=settings.facts(),
        weights={"clip": chosen["clip"].sha256},
        compute=compute,
        batch_size=settings.batch_size,
    )


def image_vector(artifact: Artifact) -> NDArray[np.float32]:
    """Read the artifact of ``vector_stage``: (E,), not normalised."""
    return np.asarray(artifact["vector"] if "vector" in artifact else artifact["tokens"][0])


def tokens_stage(
    context: Context,
    settings: ClipSettings,
    chosen: Mapping[str, ResolvedWeights],
    *,
    surgery: int,
    image_path: ImagePath,
) -> Stage:
    """CLIP's tokens of an image: ``tokens`` (1 + g * g, E) float32, the class token first.

    Args:
        surgery: blocks with CLIP Surgery's attention, see ``Clip.tokens``.
        image_path: ``squashed``: the image itself; ``text2seg``: scaled and normalised for
            GroundingDINO first and then again for CLIP, as Text2Seg does.
    """

    def prepare(image: NDArray[np.uint8]) -> torch.Tensor:
        if image_path == "squashed":
            return squash(image, settings.input_size)
        from benchmark.models.grounding_dino import scale_for_detector

        return squash_tensor(scale_for_detector(image, short_side=800, long_side=1333), settings.input_size)

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        prepared = [prepare(one.pixels) for one in inputs]
        tokens = settings.load(context, chosen).tokens(prepared, surgery=surgery)
        return [{"tokens": one} for one in tokens]

    return Stage(
        name="clip_tokens",
        version=1,
        settings={**settings.facts(), "surgery": surgery, "image_path": image_path},
        weights={"clip": chosen["clip"].sha256},
        compute=compute,
        batch_size=settings.batch_size,
    )
