"""Stages around a detector and SAM that several pipelines share through the store, and the authors' own networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.errors import DataError
from benchmark.models import grounding_dino_build, sam_build
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.detector import DetectionNetwork, Detector
from benchmark.models.fusion import Kernels
from benchmark.models.grounding_dino import Detections, GroundingDino
from benchmark.models.grounding_dino_build import DetectorName, load_grounding_dino
from benchmark.models.long_captions import Fitted, fit, word_pieces
from benchmark.models.runtime import Device
from benchmark.models.sam import Embedded, SegmentAnything
from benchmark.models.sam_build import SamName, load_sam
from benchmark.models.segmenter import Segmenter
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

Channels = Literal["rgb", "bgr"]


class SamSettings(Segmenter):
    """Which SAM by its authors' code, and how its image encoder computes."""

    toy: ClassVar = {"model": "toy", "weights": "random"}

    model: SamName
    weights: WeightsSetting

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes embeddings, as JSON values for a stage."""
        return {"model": self.model, "precision": self.precision}

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        published = sam_build.PUBLISHED.get(self.model)
        return {"sam": WeightsRequest(weights=self.weights, published=published, network=f"SAM {self.model}")}

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> SegmentAnything:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["sam"]

        def load() -> SegmentAnything:
            return SegmentAnything(load_sam(self.model, weights=weights.path, device=device.name), device=device)

        return context.model(("sam", self.model, weights.sha256, device), load)


class DetectorSettings(Detector):
    """Which GroundingDINO by its authors' code, and what of its answer is kept."""

    toy: ClassVar = {"model": "toy", "weights": "random", "tokenizer": "random", "short_side": "96", "long_side": "200"}

    model: DetectorName
    weights: WeightsSetting
    tokenizer: WeightsSetting
    """``published`` is BERT's, uncased; ``random`` has letters, for random weights."""
    short_side: int = Field(ge=32)
    long_side: int = Field(ge=32)
    kernels: Kernels
    """``fast``, or ``library``: the official code's numbers to the last bit, half as fast on a CPU."""
    captions_per_batch: int = Field(ge=1)
    """Captions that run side by side on one image; more need more memory."""

    @property
    def stage(self) -> str:
        """Name of its stage, from before there were other detectors."""
        return "groundingdino"

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        published = grounding_dino_build.PUBLISHED.get(self.model)
        network = f"GroundingDINO {self.model}"
        return {
            "detector": WeightsRequest(weights=self.weights, published=published, network=network),
            "tokenizer": WeightsRequest(
                weights=self.tokenizer, published=grounding_dino_build.TOKENIZER, network="tokenizer of letters"
            ),
        }

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes boxes, as JSON values for a stage."""
        return self.model_dump(include={"model", "precision", "short_side", "long_side", "kernels"})

    @property
    def at_once(self) -> int | None:
        """Images of one call of ``find`` (``Detector.at_once``); the library's last bits are those of one alone."""
        return None if self.kernels == "library" else 1

    def find(
        self,
        network: DetectionNetwork,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        contrasts: Sequence[str],
    ) -> list[Detections]:
        """Return the boxes of each image, (H, W, 3) RGB (see ``Detector.find``)."""
        if not isinstance(network, GroundingDino):
            return super().find(network, images, captions, contrasts)
        return network.detect_all(images, captions, floor=self.floor)

    def fit(self, context: Context, chosen: Mapping[str, ResolvedWeights], captions: Sequence[str]) -> Fitted:
        """Return normalised captions as the detector is asked them; raises ConfigError for one that is refused."""
        return fit(captions, word_pieces(context, chosen["tokenizer"]), how=self.long_captions)

    def tokens(self, context: Context, chosen: Mapping[str, ResolvedWeights], caption: str) -> int:
        """Return how many tokens a caption is, special ones included."""
        return len(word_pieces(context, chosen["tokenizer"])(caption))

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> GroundingDino:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights, words = chosen["detector"], chosen["tokenizer"]

        def load() -> GroundingDino:
            network = load_grounding_dino(
                self.model, weights=weights.path, vocabulary=words.files.get("vocab.txt"), device=device.name
            )
            return GroundingDino(
                network,
                device=device,
                short_side=self.short_side,
                long_side=self.long_side,
                captions_per_batch=self.captions_per_batch,
                kernels=self.kernels,
            )

        key = ("groundingdino", self.model, weights.sha256, words.sha256, device, self.kernels)
        return context.model((*key, self.short_side, self.long_side, self.captions_per_batch), load)


def embedding_stage(
    context: Context, settings: Segmenter, chosen: Mapping[str, ResolvedWeights], *, channels: Channels = "rgb"
) -> Stage:
    """SAM's embedding of an image: ``features`` (C, h, w) float32, ``height`` and ``width`` of the image.

    Where an embedding has several arrays, ``features_1`` … are the further ones.

    Args:
        channels: ``bgr`` gives SAM the channels in the wrong order, as the code of SAA+ does.
    """

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = settings.load(context, chosen)
        images = [one.pixels if channels == "rgb" else one.pixels[..., ::-1] for one in inputs]
        features = _named(inputs, lambda: network.embed(images))
        return [
            {**_levels(one), "height": image.shape[0], "width": image.shape[1]}
            for one, image in zip(features, images, strict=True)
        ]

    return Stage(
        name="sam_embedding",
        version=1,
        settings={**settings.facts(), "channels": channels},
        weights={"sam": chosen["sam"].sha256},
        compute=compute,
        batch_size=settings.batch_size,
        expected_bytes=3_880_000,  # (256, 64, 64) float32, packed
    )


def embedded(artifact: Artifact) -> Embedded:
    """Read the artifact of ``embedding_stage``."""
    further = [artifact[name] for name in sorted(artifact) if name.startswith("features_")]
    size = (int(artifact["height"]), int(artifact["width"]))
    return Embedded(features=artifact["features"], further=tuple(further), size=size)


def _levels(features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    first, *further = [features] if isinstance(features, np.ndarray) else features
    return {"features": first, **{f"features_{number}": one for number, one in enumerate(further, start=1)}}


def detection_stage(
    context: Context,
    settings: Detector,
    chosen: Mapping[str, ResolvedWeights],
    *,
    captions: Sequence[str],
    contrasts: Sequence[str] = (),
) -> Stage:
    """What a detector finds for some normalised captions: the arrays of ``Detections``, and their ``pieces``.

    Args:
        contrasts: for each caption a phrase by which a box is told not to be meant, or ""; (): of none.
    """
    asked = list(contrasts) if settings.by_phrase and any(contrasts) else []

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = settings.load(context, chosen)
        images = [one.pixels for one in inputs]
        found = _named(inputs, lambda: settings.find(network, images, captions, asked or [""] * len(captions)))
        pieces = network.pieces(captions)
        if asked:
            pieces = [[*words, contrast] for words, contrast in zip(pieces, asked, strict=True)]
        whole = {"by_phrase": True} if settings.by_phrase else {}
        return [{**_arrays(one), "pieces": pieces, **whole} for one in found]

    return Stage(
        name=settings.stage,
        version=1,
        settings={
            **settings.facts(),
            "floor": settings.floor,
            "captions": list(captions),
            **({"contrasts": asked} if asked else {}),
        },
        weights={role: chosen[role].sha256 for role in settings.wanted()},
        compute=compute,
        batch_size=settings.at_once,
    )


def detected(artifacts: Mapping[str, Artifact]) -> Artifact | None:
    """Return the artifact of ``detection_stage`` among those of an image, whatever detector it is; None: none."""
    return next((artifacts[name] for name in ("groundingdino", "detection") if name in artifacts), None)


def detections(artifact: Artifact) -> Detections:
    """Read the artifact of ``detection_stage`` or ``box_masks_stage``."""
    return Detections(**{name: artifact[name] for name in ("boxes", "scores", "caption", "tokens")})


def box_masks_stage(
    context: Context,
    settings: Segmenter,
    chosen: Mapping[str, ResolvedWeights],
    *,
    detection: Stage,
    embedding: Stage,
    floor: float,
) -> Stage:
    """SAM's mask of every detected box with a score above ``floor``.

    The artifact has ``masks`` (a MaskSet), ``quality`` (predicted IoU), and what ``detection_stage``
    says of the same boxes.
    """

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = settings.load(context, chosen)
        return [_masks_of_boxes(network, one, floor) for one in inputs]

    return Stage(
        name="sam_box_masks",
        version=1,
        settings={"floor": floor},
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def _masks_of_boxes(network: SegmentAnything, one: Inputs, floor: float) -> dict[str, Any]:
    image, answer = embedded(one.upstream["sam_embedding"]), detected(one.upstream)
    assert answer is not None
    found = detections(answer)
    kept = found.scores > floor
    arrays = {name: array[kept] for name, array in _arrays(found).items()}
    masked = network.from_boxes(image, found.corners(image.size)[kept])
    return {**arrays, "pieces": answer["pieces"], "masks": masked.masks, "quality": masked.quality}


def _arrays(found: Detections) -> dict[str, Any]:
    return {"boxes": found.boxes, "scores": found.scores, "caption": found.caption, "tokens": found.tokens}


def _named(inputs: Sequence[Inputs], work: Callable[[], Any]) -> Any:
    """Do the work; an image that the model cannot take is named in the error."""
    try:
        return work()
    except DataError as error:
        files = ", ".join(str(one.sample.image) for one in inputs if one.sample)
        raise DataError(f"{files}: {error}") from None
