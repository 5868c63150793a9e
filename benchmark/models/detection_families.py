"""How each family of transformers' zero-shot detectors is asked: by the words of a text, or by its phrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.models.detection_answer import END, START, Answer, Family, Floats, as_array, phrases, prepared
from benchmark.models.florence2 import FlorenceFamily
from benchmark.models.once_an_image import OnceAnImage, repeated
from benchmark.models.runtime import Device, by_shape

if TYPE_CHECKING:
    import torch

CLASSES = {
    "florence2": "Florence2ForConditionalGeneration",
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
    "omdet-turbo": "OmDetTurboForObjectDetection",
    "owlv2": "Owlv2ForObjectDetection",
    "owlvit": "OwlViTForObjectDetection",
}
"""Kind of model in ``config.json`` to transformers' class; LLMDet is an MM-GroundingDINO."""


class WordFamily:
    """GroundingDINO, MM-GroundingDINO, LLMDet: each word piece of a caption has a probability."""

    by_phrase = False

    def __init__(
        self, network: Any, processor: Any, tokenizer: Any, *, device: Device, captions_per_batch: int
    ) -> None:
        self.network, self.processor, self.tokenizer, self.device = network, processor, tokenizer, device
        self.captions_per_batch = captions_per_batch
        self.most: int = network.config.max_text_len
        self._image = OnceAnImage(network.model.backbone)

    def pieces(self, caption: str) -> list[str]:
        """Return the word pieces that the network reads, special tokens included."""
        pieces: list[str] = self.tokenizer.convert_ids_to_tokens(self.tokenizer(caption)["input_ids"][: self.most])
        return pieces

    def ask(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str]
    ) -> list[list[Answer]]:
        """Ask about images that are scaled to one size together; a contrast is among the words already."""
        import torch

        scaled = [prepared(self.processor, [image]) for image in images]
        found: dict[int, list[Answer]] = {}
        for numbers in by_shape([one.shape for one in scaled]):
            pixels = torch.cat([scaled[number] for number in numbers])
            found |= zip(numbers, self._about(pixels, captions), strict=True)
        return [found[number] for number in range(len(images))]

    def _about(self, pixels: torch.Tensor, captions: Sequence[str]) -> list[list[Answer]]:
        """The answers by image, (B, 3, h, w), and caption."""
        pixels = self.device.send(pixels)
        images = len(pixels)
        answers: list[list[Answer]] = [[] for _ in range(images)]
        self._image.forget(images=images)
        for start in range(0, len(captions), self.captions_per_batch):
            part = list(captions[start : start + self.captions_per_batch])
            words = self.tokenizer(part, padding="longest", return_token_type_ids=True, return_tensors="pt")
            words = {name: ids[:, : self.most].to(self.device.name).repeat(images, 1) for name, ids in words.items()}
            rows = repeated(pixels, len(part))
            try:
                found = self.network(pixel_values=rows, pixel_mask=rows.new_ones(rows[:, 0].shape).long(), **words)
            except RuntimeError as error:
                if "out of range" not in str(error):
                    raise
                raise DataError(
                    "the image is too elongated for the detector: it has fewer positions than the network has queries"
                ) from None
            for row, (logits, boxes) in enumerate(zip(found.logits, found.pred_boxes, strict=True)):
                image, text = divmod(row, len(part))
                scored = logits.float().sigmoid()[:, : len(self.pieces(part[text]))]
                answers[image].append(Answer(probabilities=as_array(scored), boxes=as_array(boxes)))
        return answers


class OwlFamily:
    """OWL-ViT and OWLv2: each phrase is compared with each patch, whose box no text enters."""

    by_phrase = True

    def __init__(self, network: Any, processor: Any, tokenizer: Any, *, device: Device) -> None:
        self.network, self.processor, self.tokenizer, self.device = network, processor, tokenizer, device
        self.body = network.owlv2 if network.config.model_type == "owlv2" else network.owlvit
        self.most: int = network.config.text_config.max_position_embeddings
        self.padded: bool = network.config.model_type == "owlv2"
        self._texts: dict[tuple[str, ...], torch.Tensor] = {}

    def pieces(self, caption: str) -> list[str]:
        """Return the phrases."""
        return [START, *phrases(caption), END]

    def ask(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str]
    ) -> list[list[Answer]]:
        """Ask all phrases about all images at once: images are scaled to one size."""
        import torch

        asked = [_asked(*pair) for pair in zip(captions, contrasts, strict=True)]
        queries = self._encoded(tuple(dict.fromkeys(text for texts in asked for text in texts)))
        place = {text: number for number, text in enumerate(queries)}
        vectors = torch.stack(list(queries.values()))
        pixels = self.device.send(prepared(self.processor, images))
        features = self.network.image_embedder(pixel_values=pixels)[0]
        rows = features.flatten(1, 2)
        logits, _ = self.network.class_predictor(rows, vectors[None].expand(len(images), -1, -1))
        boxes = self.network.box_predictor(rows, features)
        results = []
        for image, scored, placed in zip(images, logits.float().sigmoid(), boxes, strict=True):
            probabilities, fractions = as_array(scored), as_array(placed)
            if self.padded:  # OWLv2 sees the image in the upper left of a square, grey below or beside it
                height, width = image.shape[:2]
                sides = np.array([width, height] * 2, dtype=np.float32)
                fractions = np.asarray(fractions * np.float32(max(height, width)) / sides, dtype=np.float32)
            columns = [[place[text] for text in texts] for texts in asked]
            each = [_framed(probabilities[:, these], bool(c)) for these, c in zip(columns, contrasts, strict=True)]
            results.append([Answer(probabilities=one, boxes=fractions) for one in each])
        return results

    def _encoded(self, texts: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Text vectors (E,), computed once for as long as the model lives."""
        if texts not in self._texts:
            read = self.tokenizer(
                list(texts), padding="max_length", truncation=True, max_length=self.most, return_tensors="pt"
            )
            ids, mask = read["input_ids"].to(self.device.name), read["attention_mask"].to(self.device.name)
            vectors = self.body.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
            self._texts[texts] = vectors / vectors.norm(dim=-1, keepdim=True)
        return dict(zip(texts, self._texts[texts], strict=True))


class OmDetFamily:
    """OmDet-Turbo: a caption is a list of classes with a task in words; each query has a probability of each class."""

    by_phrase = True
    own_nms = 0.5
    """IoU of the non-maximum suppression that belongs to it (its processor's default)."""

    def __init__(
        self, network: Any, processor: Any, tokenizer: Any, *, device: Device, captions_per_batch: int
    ) -> None:
        self.network, self.processor, self.tokenizer, self.device = network, processor, tokenizer, device
        self.captions_per_batch = captions_per_batch
        self.most: int = network.config.text_config.max_position_embeddings
        self._image = [OnceAnImage(network.vision_backbone), OnceAnImage(network.encoder)]

    def pieces(self, caption: str) -> list[str]:
        """Return the phrases."""
        return [START, *phrases(caption), END]

    def ask(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str]
    ) -> list[list[Answer]]:
        """Ask about image after image, all classes of some captions at once."""
        asked = [_asked(*pair) for pair in zip(captions, contrasts, strict=True)]
        pixels = self.device.send(prepared(self.processor, images))
        return [list(self._about(one[None], asked, contrasts)) for one in pixels]

    def _about(
        self, pixels: torch.Tensor, asked: Sequence[Sequence[str]], contrasts: Sequence[str]
    ) -> Iterator[Answer]:
        import torch

        for part in self._image:
            part.forget()
        for start, classes in self._batches(asked):
            inputs = {
                **self._read("classes", [text for texts in classes for text in texts]),
                **self._read("tasks", [f"Detect {', '.join(texts)}." for texts in classes]),
            }
            found = self.network(
                pixel_values=pixels.expand(len(classes), *pixels.shape[1:]),
                classes_structure=torch.tensor([len(texts) for texts in classes], device=self.device.name),
                **inputs,
            )
            for n, texts in enumerate(classes):
                scored = found.decoder_class_logits[n, :, : len(texts)].float().sigmoid()
                probabilities = _framed(as_array(scored), bool(contrasts[start + n]))
                yield Answer(probabilities=probabilities, boxes=as_array(found.decoder_coord_logits[n]))

    def _batches(self, asked: Sequence[Sequence[str]]) -> Iterator[tuple[int, Sequence[Sequence[str]]]]:
        """Parts of equal numbers of classes, with their places: the network takes padding for one more class."""
        start = 0
        while start < len(asked):
            end = start + 1
            while end < min(start + self.captions_per_batch, len(asked)) and len(asked[end]) == len(asked[start]):
                end += 1
            yield start, asked[start:end]
            start = end

    def _read(self, what: str, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        read = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.most, return_tensors="pt"
        )
        return {f"{what}_{name}": read[name].to(self.device.name) for name in ("input_ids", "attention_mask")}


def image_side(network: Any) -> Any:
    """Return the module of a network that sees the image alone and takes most of the time."""
    kind = network.config.model_type
    if kind in ("owlv2", "owlvit"):
        return (network.owlv2 if kind == "owlv2" else network.owlvit).vision_model
    if kind == "florence2":
        return network.model.vision_tower
    return network.vision_backbone if kind == "omdet-turbo" else network.model.backbone


def make_family(network: Any, processor: Any, tokenizer: Any, *, device: Device, captions_per_batch: int) -> Family:
    """Return how a network is asked, by its kind."""
    kind = network.config.model_type
    if kind in ("owlv2", "owlvit"):
        return OwlFamily(network, processor, tokenizer, device=device)
    by_kind: dict[str, Any] = {"omdet-turbo": OmDetFamily, "florence2": FlorenceFamily}
    cls = by_kind.get(kind, WordFamily)
    family: Family = cls(network, processor, tokenizer, device=device, captions_per_batch=captions_per_batch)
    return family


def _asked(caption: str, contrast: str) -> list[str]:
    return [*phrases(caption), *([contrast] if contrast else [])]


def _framed(probabilities: Floats, contrasted: bool) -> Floats:
    """Put the columns of START and END around those of a caption's phrases; the contrast stays behind them."""
    own = probabilities.shape[1] - contrasted
    empty = np.zeros((len(probabilities), 1), dtype=np.float32)
    return np.concatenate([empty, probabilities[:, :own], empty, probabilities[:, own:]], axis=1)
