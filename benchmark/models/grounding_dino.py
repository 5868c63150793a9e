"""GroundingDINO as the pipelines use it: the image is encoded once, however many captions are asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.models.fusion import Kernels, prepare
from benchmark.models.once_an_image import repeated
from benchmark.models.runtime import Device, by_shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Boxes that some captions found in one image: by caption in their order, then in query order."""

    boxes: NDArray[np.float32]
    """(N, 4) centre x, centre y, width, height as fractions of the image; they may reach outside."""
    scores: NDArray[np.float32]
    """(N,) largest token probability, in (0, 1)."""
    caption: NDArray[np.int64]
    """(N,) index of the caption."""
    tokens: NDArray[np.float32]
    """(N, T) probability of each token of the box's caption; 0 behind its last token."""

    def corners(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the boxes as (N, 4) float32 x0, y0, x1, y1 in pixels of an image of (H, W), not clipped."""
        height, width = size
        centre, half = self.boxes[:, :2], self.boxes[:, 2:] / np.float32(2)
        corners = np.concatenate([centre - half, centre + half], axis=1)
        return np.asarray(corners * np.array([width, height] * 2, dtype=np.float32), dtype=np.float32)


def normalise(caption: str) -> str:
    """Write a caption as the detector was trained on it: lower case, ended by a full stop."""
    text = caption.lower().strip()
    return text if text.endswith(".") else text + "."


def scale_for_detector(image: NDArray[np.uint8], *, short_side: int, long_side: int) -> torch.Tensor:
    """Scale and normalise an image, (H, W, 3) uint8 RGB, to (3, h, w) float32 (groundingdino:util/inference.py).

    The short side becomes ``short_side``, or less where the long side would grow past ``long_side``.

    Raises:
        DataError: the image is so elongated that its short side would vanish.
    """
    import groundingdino.datasets.transforms as T
    from PIL import Image

    if round(long_side * min(image.shape[:2]) / max(image.shape[:2])) < 1:
        raise DataError(
            f"an image of {image.shape[1]} x {image.shape[0]} pixels is too elongated for GroundingDINO: "
            "at its input size the short side vanishes; crop the image or leave it out"
        )
    steps = [
        T.RandomResize([short_side], max_size=long_side),
        T.ToTensor(),
        T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    pixels: torch.Tensor = T.Compose(steps)(Image.fromarray(image), None)[0]
    return pixels


def phrase(pieces: Sequence[str], probabilities: NDArray[np.float32], threshold: float) -> str:
    """Spell the word pieces whose probability is above a threshold, as BERT's tokenizer decodes them.

    Special tokens and full stops are kept (groundingdino:util/utils.py, get_phrases_from_posmap).

    Args:
        pieces: (T,) word pieces of the caption.
        probabilities: (>= T,) one of each, the rest is not looked at.
    """
    chosen = [piece for piece, p in zip(pieces, probabilities.tolist(), strict=False) if p > threshold]
    text = " ".join(chosen).replace(" ##", "")
    for spaced, tight in _TIGHT:
        text = text.replace(spaced, tight)
    return text


_TIGHT = (
    *((f" {sign}", sign) for sign in ".?!,"),
    (" ' ", "'"),
    (" n't", "n't"),
    *((f" {short}", short) for short in ("'m", "'s", "'ve", "'re")),
)
"""What the tokenizer draws together when it decodes."""


class GroundingDino:
    """A GroundingDINO network, split into the part that sees the image and the part that sees a caption.

    Args:
        network: from ``load_grounding_dino``.
        device: where the network lies, and its precision.
        short_side, long_side: the image is scaled to this short side, or less where its long side
            would grow past ``long_side`` (published weights: 800 and 1333).
        captions_per_batch: captions that run side by side; it bounds memory and does not change results.
        kernels: ``fast``, or ``library`` for the official code's numbers to the last bit (one caption at a time).
    """

    def __init__(
        self,
        network: Any,
        *,
        device: Device,
        short_side: int,
        long_side: int,
        captions_per_batch: int,
        kernels: Kernels = "fast",
    ) -> None:
        self.network = network
        self.device = device
        self.short_side = short_side
        self.long_side = long_side
        self.captions_per_batch = 1 if kernels == "library" else captions_per_batch
        self._texts: dict[tuple[str, ...], dict[str, Any]] = {}
        prepare(network, kernels=kernels, device=device.name)

    def raw(self, image: NDArray[np.uint8], captions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what ``raw_all`` does, of one image."""
        return self.raw_all([image], captions)[0]

    def raw_all(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return for each image token logits (K, Q, T) and boxes (K, Q, 4) of K normalised captions for Q queries.

        Logits are -inf behind a caption's last token; boxes are centre x, centre y, width, height. Of a caption that
        is longer than the network reads it reads the beginning, as the library does (see ``long_captions``). Images
        that are scaled to one size go through the network together: padding would change what it sees.

        Raises:
            DataError: an image is so elongated that it has fewer positions than the network has queries.
        """
        with self.device.inference():
            scaled = [
                scale_for_detector(image, short_side=self.short_side, long_side=self.long_side) for image in images
            ]
            found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
            for numbers in by_shape([one.shape for one in scaled]):
                answers = self._ask([scaled[number] for number in numbers], captions)
                found |= zip(numbers, zip(*answers, strict=True), strict=True)
        return [found[number] for number in range(len(images))]

    def _ask(
        self, scaled: Sequence[torch.Tensor], captions: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Token logits (B, K, Q, T) and boxes (B, K, Q, 4) of B images of one size, (3, h, w) each."""
        import torch

        features = self._encode(scaled)
        logits, boxes = [], []
        for start in range(0, len(captions), self.captions_per_batch):
            part = tuple(captions[start : start + self.captions_per_batch])
            found = self._match(features, self._text(part), len(part))
            logits.append(found[0].float().unflatten(0, (len(scaled), len(part))))
            boxes.append(found[1].float().unflatten(0, (len(scaled), len(part))))
        return torch.cat(logits, dim=1).cpu().numpy(), torch.cat(boxes, dim=1).cpu().numpy()

    def detect(self, image: NDArray[np.uint8], captions: Sequence[str], *, floor: float) -> Detections:
        """Find boxes for normalised captions in one image, (H, W, 3) uint8 RGB (``detect_all``)."""
        return self.detect_all([image], captions, floor=floor)[0]

    def detect_all(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], *, floor: float
    ) -> list[Detections]:
        """Find boxes for normalised captions; each caption is asked by itself, as the papers do.

        Args:
            images: (H, W, 3) uint8 RGB each, of any and different sizes.
            floor: boxes whose score is not above it are left out.
        """
        width = max((len(tokens) for tokens in self.pieces(captions)), default=0)
        return [_kept(*found, floor=floor, width=width) for found in self.raw_all(images, captions)]

    def pieces(self, captions: Sequence[str]) -> list[list[str]]:
        """Return the word pieces of each caption that the network reads, special tokens included."""
        tokenizer, most = self.network.tokenizer, self.network.max_text_len
        return [tokenizer.convert_ids_to_tokens(tokenizer(caption)["input_ids"][:most]) for caption in captions]

    def _encode(self, scaled: Sequence[torch.Tensor]) -> tuple[list[Any], list[Any], list[Any]]:
        """Features of images of one size, all levels, their padding masks and position codes: no caption enters."""
        from groundingdino.util.misc import NestedTensor, nested_tensor_from_tensor_list
        from torch.nn import functional as F

        network = self.network
        samples = nested_tensor_from_tensor_list([self.device.send(one) for one in scaled])
        features, codes = network.backbone(samples)
        sources = [network.input_proj[i](feature.tensors) for i, feature in enumerate(features)]
        masks = [feature.mask for feature in features]
        for level in range(len(sources), network.num_feature_levels):
            last = features[-1].tensors if level == len(features) else sources[-1]
            source = network.input_proj[level](last)
            mask = F.interpolate(samples.mask[None].float(), size=source.shape[-2:]).bool()[0]
            codes.append(network.backbone[1](NestedTensor(source, mask)).to(source.dtype))
            sources.append(source)
            masks.append(mask)
        positions = sum(source.shape[-2] * source.shape[-1] for source in sources)
        if positions < network.num_queries:
            height, width = scaled[0].shape[1:]
            raise DataError(
                f"the image is too elongated for GroundingDINO: scaled to {width} x {height} pixels "
                f"it has {positions} positions for {network.num_queries} queries; crop it or raise the input size"
            )
        return sources, masks, codes

    def _text(self, captions: tuple[str, ...]) -> dict[str, Any]:
        """Language features of captions, computed once for as long as the model lives."""
        if captions not in self._texts:
            self._texts[captions] = self._read(captions)
        return self._texts[captions]

    def _read(self, captions: tuple[str, ...]) -> dict[str, Any]:
        """The language model's view of captions (groundingdino:groundingdino.py, forward)."""
        from groundingdino.models.GroundingDINO.bertwarper import generate_masks_with_special_tokens_and_transfer_map

        network = self.network
        tokenized = network.tokenizer(list(captions), padding="longest", return_tensors="pt").to(self.device.name)
        attention, positions, _ = generate_masks_with_special_tokens_and_transfer_map(
            tokenized, network.specical_tokens, network.tokenizer
        )
        most = network.max_text_len
        attention, positions = attention[:, :most, :most], positions[:, :most]
        ids, kinds = tokenized["input_ids"][:, :most], tokenized["token_type_ids"][:, :most]
        language = network.bert(input_ids=ids, token_type_ids=kinds, attention_mask=attention, position_ids=positions)
        return {
            "encoded_text": network.feat_map(language["last_hidden_state"]),
            "text_token_mask": tokenized["attention_mask"][:, :most].bool(),
            "position_ids": positions,
            "text_self_attention_masks": attention,
        }

    def _match(self, features: tuple[list[Any], list[Any], list[Any]], text: dict[str, Any], captions: int) -> Any:
        """Token logits and boxes of every image with every caption: rows (image, caption), captions innermost."""
        from groundingdino.util.misc import inverse_sigmoid

        network = self.network
        images = len(features[0][0])

        sources, masks, codes = ([repeated(level, captions) for level in part] for part in features)
        # A dictionary of its own: the transformer writes into it.
        asked = {name: value[None].expand(images, *value.shape).flatten(0, 1) for name, value in text.items()}
        states, references, *_ = network.transformer(sources, masks, None, codes, None, None, asked)
        boxes = (network.bbox_embed[-1](states[-1]) + inverse_sigmoid(references[-2])).sigmoid()
        return network.class_embed[-1](states[-1], asked), boxes


def _kept(logits: NDArray[np.float32], boxes: NDArray[np.float32], *, floor: float, width: int) -> Detections:
    """The boxes of one image whose score is above ``floor``, with the probabilities of ``width`` tokens."""
    import torch

    # The network's own sigmoid in torch, so that scores agree with the official code to the last bit.
    probabilities = torch.from_numpy(logits).sigmoid().numpy()
    scores = probabilities.max(axis=2)
    kept = scores > floor
    return Detections(
        boxes=boxes[kept],
        scores=scores[kept],
        caption=np.nonzero(kept)[0].astype(np.int64),
        tokens=probabilities[kept][:, :width],
    )
