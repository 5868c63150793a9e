"""Any zero-shot detector of transformers as an option of the group ``detector``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.models import pretrained
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.compiling import quicken
from benchmark.models.detection_answer import Answer, Family, phrases
from benchmark.models.detection_families import CLASSES, OmDetFamily, image_side, make_family
from benchmark.models.detector import DetectionNetwork, Detector
from benchmark.models.florence2 import most_tokens
from benchmark.models.grounding_dino import Detections
from benchmark.models.long_captions import Fitted, Pieces, fit, split_phrase
from benchmark.models.pretrained import ModelName
from benchmark.models.runtime import Device
from benchmark.stages.context import Context

WHAT = "zero-shot detector"


class HfDetector(Detector):
    """Which detector of transformers, and what of its answer is kept."""

    model: ModelName
    """``OWNER/NAME`` of the hub, with ``@COMMIT`` where it is to stay one, or a folder."""
    weights: WeightsSetting
    """``published`` are those of the model."""
    nms: Literal["own", "none"] | Annotated[float, Field(gt=0, le=1)]
    """Of two boxes of one caption that overlap by more the one of the lower score goes; ``own``: as the family's
    processor does it."""
    compile: bool
    """Whether the image side is compiled (torch.compile); by rounding, scores and boxes differ."""
    captions_per_batch: int = Field(ge=1)
    """Captions that run side by side on one image; more need more memory."""
    batch_size: int = Field(ge=1)
    """Images that run side by side where they are scaled to one size; OmDet-Turbo and Florence-2 take one alone."""

    @property
    def at_once(self) -> int | None:
        """Images of one call of ``find`` where a run says nothing else (``Detector.at_once``)."""
        return None if self._kind() in ("omdet-turbo", "florence2") else self.batch_size

    @property
    def by_phrase(self) -> bool:
        """Whether the network scores a phrase as a whole, and not each of its words."""
        return self._kind() not in ("grounding-dino", "mm-grounding-dino")

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        return {"detector": pretrained.request(self.model, self.weights, network="detector")}

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes boxes, as JSON values for a stage."""
        return {
            **pretrained.facts(self.model),
            "precision": self.precision,
            "nms": self.nms,
            **({"compile": True} if self.compile else {}),
        }

    def fit(self, context: Context, chosen: Mapping[str, ResolvedWeights], captions: Sequence[str]) -> Fitted:
        """Return captions as the detector is asked them: too long is a whole one, or a phrase where it scores phrases.

        Raises:
            ConfigError: one is too long and ``long_captions`` is ``refuse``, or a word alone is.
        """
        pieces = self._pieces(context)
        config = pretrained.read_config(self.model, of=CLASSES, what=WHAT)
        if not self.by_phrase:
            return fit(captions, pieces, how=self.long_captions, most=config.max_text_len, reader=self.model)
        most = config.text_config.max_position_embeddings
        if config.model_type == "florence2":
            most = most_tokens(config, pretrained.image_processor(self.model, backend="pil"), pieces)
        fitted = [fit(phrases(caption), pieces, how=self._how, most=most, reader=self.model) for caption in captions]
        texts = [". ".join(self._cut(one.captions, lambda text: len(pieces(text)), most)) + "." for one in fitted]
        notes = () if self.long_captions == "split" else tuple(note for one in fitted for note in one.notes)
        return Fitted(captions=tuple(texts), question=tuple(range(len(texts))), notes=notes)

    def tokens(self, context: Context, chosen: Mapping[str, ResolvedWeights], caption: str) -> int:
        """Return how many tokens a caption is, special ones included."""
        return len(self._pieces(context)(caption))

    def _pieces(self, context: Context) -> Pieces:
        tokenizer = context.model(
            ("tokenizer of", pretrained.key_of(self.model)), lambda: pretrained.tokenizer(self.model)
        )

        def read(text: str) -> Sequence[str]:
            words: list[str] = tokenizer.convert_ids_to_tokens(tokenizer(text, verbose=False)["input_ids"])
            return words

        return read

    @property
    def _how(self) -> Literal["truncate", "refuse"]:
        return "refuse" if self.long_captions == "refuse" else "truncate"

    def _cut(self, texts: Sequence[str], count: Callable[[str], int], most: int) -> list[str]:
        if self.long_captions != "split":
            return list(texts)
        return [part for text in texts for part in split_phrase(text, count, most=most)]

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> HfDetectionNetwork:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["detector"]

        def load() -> HfDetectionNetwork:
            import transformers

            config = pretrained.read_config(self.model, of=CLASSES, what=WHAT)
            kind = getattr(transformers, CLASSES[config.model_type])
            network = pretrained.load_network(kind, config, weights.path, device=device.name)
            pretrained.read_generation(self.model, network)
            quicken(image_side(network), what="detector's image side", compiled=self.compile, device=device)
            family = make_family(
                network,
                pretrained.image_processor(self.model, backend="pil"),
                pretrained.tokenizer(self.model),
                device=device,
                captions_per_batch=self.captions_per_batch,
            )
            return HfDetectionNetwork(family, device=device, nms=self._nms(family))

        key = ("hf detector", pretrained.key_of(self.model), weights.sha256, device)
        return context.model((*key, self.captions_per_batch, self.nms, self.compile), load)

    def find(
        self,
        network: DetectionNetwork,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        contrasts: Sequence[str],
    ) -> list[Detections]:
        """Return the boxes of each image, (H, W, 3) RGB (see ``Detector.find``)."""
        if not isinstance(network, HfDetectionNetwork):
            return super().find(network, images, captions, contrasts)
        return network.detect_all(images, captions, contrasts, floor=self.floor)

    def _nms(self, family: Family) -> float | None:
        if self.nms == "own":
            return OmDetFamily.own_nms if isinstance(family, OmDetFamily) else None
        return None if self.nms == "none" else float(self.nms)

    def _kind(self) -> str:
        kind: str = pretrained.read_config(self.model, of=CLASSES, what=WHAT).model_type
        return kind


class HfDetectionNetwork:
    """A loaded zero-shot detector of transformers.

    Args:
        family: the network, and how it is asked.
        device: its precision holds for the whole network.
        nms: of two boxes of one caption with the same best piece that overlap by more, the one of the lower score
            goes; None: all stay.
    """

    def __init__(self, family: Family, *, device: Device, nms: float | None) -> None:
        self.family = family
        self.device = device
        self.nms = nms

    def pieces(self, captions: Sequence[str]) -> list[list[str]]:
        """Return of each caption the word pieces or phrases that the network scores."""
        return [self.family.pieces(caption) for caption in captions]

    def detect(self, image: NDArray[np.uint8], captions: Sequence[str], *, floor: float) -> Detections:
        """Return the boxes above a score that normalised captions find in an image, (H, W, 3) RGB."""
        return self.detect_all([image], captions, [""] * len(captions), floor=floor)[0]

    def detect_all(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str], *, floor: float
    ) -> list[Detections]:
        """Return the boxes of each image (see ``Detector.find``); each caption is asked by itself.

        Raises:
            DataError: an image is so elongated that it has fewer positions than the network has queries.
        """
        if not captions:
            return [self._joined([], [], floor) for _ in images]
        with self.device.inference():
            answers = self.family.ask(images, captions, contrasts)
        own = [len(words) for words in self.pieces(captions)]
        return [self._joined(one, own, floor) for one in answers]

    def _joined(self, answers: Sequence[Answer], own: Sequence[int], floor: float) -> Detections:
        width = max((one.probabilities.shape[1] for one in answers), default=0)
        boxes = [np.zeros((0, 4), dtype=np.float32)]
        tokens = [np.zeros((0, width), dtype=np.float32)]
        scores, caption = [np.zeros(0, dtype=np.float32)], [np.zeros(0, dtype=np.int64)]
        for number, (one, count) in enumerate(zip(answers, own, strict=True)):
            best = one.probabilities[:, :count].max(axis=1)
            kept = np.flatnonzero(best > floor)
            if self.nms is not None:
                kept = kept[_suppressed(one.boxes[kept], best[kept], one.probabilities[kept, :count], self.nms)]
            boxes.append(one.boxes[kept])
            scores.append(best[kept])
            caption.append(np.full(len(kept), number, dtype=np.int64))
            wide = np.zeros((len(kept), width), dtype=np.float32)
            wide[:, : one.probabilities.shape[1]] = one.probabilities[kept]
            tokens.append(wide)
        return Detections(
            boxes=np.concatenate(boxes),
            scores=np.concatenate(scores),
            caption=np.concatenate(caption),
            tokens=np.concatenate(tokens),
        )


def _suppressed(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], probabilities: NDArray[np.float32], iou: float
) -> NDArray[np.int64]:
    """Return which boxes stay, in their order; only boxes of one best piece drive each other out."""
    import torch
    from torchvision.ops import batched_nms

    half = boxes[:, 2:] / np.float32(2)
    corners = torch.from_numpy(np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1))
    pieces = torch.from_numpy(probabilities.argmax(axis=1)) if len(boxes) else torch.zeros(0, dtype=torch.int64)
    kept = batched_nms(corners, torch.from_numpy(np.ascontiguousarray(scores)), pieces, iou)
    return np.sort(np.asarray(kept.numpy(), dtype=np.int64))
