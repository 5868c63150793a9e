"""SAM 3 (arXiv 2511.16719): from a text to a map of where its concept is, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError
from benchmark.models import pretrained, runtime
from benchmark.models.pretrained import ModelName
from benchmark.models.runtime import Device
from benchmark.models.toy_tokenizer import clip_letters

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Sam3Name = Literal["toy"] | ModelName
"""``toy``, a name of the hub, or a folder."""
CLASSES = {"sam3": "Sam3Model", "sam3_video": "Sam3Model", "sam3_lite_text": "Sam3LiteTextModel"}
"""Kind of model in ``config.json`` to transformers' class; files of the video model hold the image model too."""
MOST_TOKENS = 32
"""Tokens that it reads of a text, the two special ones included."""


def load_sam3(model: str, *, weights: Path | None, device: Device) -> Sam3:
    """Build a SAM 3 network with its processor and load its weights.

    Args:
        model: as of ``Sam3Name``.
        weights: file of the weights; None: seeded random ones.

    Raises:
        ConfigError: the model is of another kind.
        WeightsError: files are missing, damaged, or belong to another model.
    """
    import transformers

    if model == "toy":
        network = runtime.build(lambda: transformers.Sam3Model(_toy_config()), device=device.name)
        processor = transformers.Sam3ImageProcessor(size={"height": 64, "width": 64})
        return Sam3(network, processor, clip_letters(MOST_TOKENS), device=device)
    config = pretrained.read_config(model, of=CLASSES, what="SAM that is asked by texts")
    kind = getattr(transformers, CLASSES[config.model_type])
    network = pretrained.load_network(kind, config, weights, device=device.name)
    processor = pretrained.image_processor(model, backend="torchvision")
    return Sam3(network, processor, pretrained.tokenizer(model), device=device)


class Sam3:
    """A SAM 3 network, split into the part that sees the image and the part that a text enters.

    Args:
        network: transformers' ``Sam3Model``.
        processor: what scales and normalises images for it; they are squashed to a square.
        tokenizer: CLIP's.
        device: its precision holds for the image side; texts are asked in float32.
    """

    def __init__(self, network: Any, processor: Any, tokenizer: Any, *, device: Device) -> None:
        self.network, self.processor, self.tokenizer, self.device = network, processor, tokenizer, device
        self._texts: dict[str, tuple[Any, torch.Tensor]] = {}

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Floats]]:
        """Return the maps of each image, (H, W, 3) RGB, that texts are asked of: (C, h, w) float32, fine to coarse."""
        ready = [np.ascontiguousarray(image) for image in images]
        pixels = self.processor(images=ready, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        with self.device.inference():
            found = self.network.get_vision_features(pixel_values=self.device.send(pixels))
            levels = [np.asarray(level.float().cpu().numpy()) for level in found.fpn_hidden_states[:-1]]
        return [[level[number] for level in levels] for number in range(len(images))]

    def ask(self, maps: Sequence[Floats], texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Return where each text's concept is, and whether it is there at all.

        Args:
            maps: of one image, from ``encode``.
            texts: as they stand.

        Returns:
            Probability that a pixel belongs to the concept, (N, h, w) float32, of the model's size (``semantic_seg``);
            probability that the image shows it, (N,) float32 (``presence_logits``).

        Raises:
            ConfigError: a text is longer than the network reads.
        """
        import torch
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        neck = self.network.vision_encoder.neck
        with Device(name=self.device.name).inference():
            levels = [self.device.send(torch.from_numpy(one))[None] for one in maps]
            levels.append(levels[-1])  # the coarsest level of all is not read
            places = [neck.position_encoding(one.shape, one.device, one.dtype) for one in levels]
            seen = Sam3VisionEncoderOutput(fpn_hidden_states=tuple(levels), fpn_position_encoding=tuple(places))
            answers = [self._answer(seen, text) for text in texts]
        scores, presence = zip(*answers, strict=True)
        return np.stack(scores), np.array(presence, dtype=np.float32)

    def _answer(self, seen: Any, text: str) -> tuple[Floats, float]:
        words, mask = self._read(text)
        found = self.network(vision_embeds=seen, text_embeds=words, attention_mask=mask)
        scores = found.semantic_seg[0, 0].float().sigmoid().cpu().numpy()
        return np.asarray(scores, dtype=np.float32), float(found.presence_logits[0, 0].float().sigmoid())

    def _read(self, text: str) -> tuple[Any, torch.Tensor]:
        """Features of a text, computed once for as long as the model lives, and which of its tokens count."""
        if text not in self._texts:
            length = len(self.tokenizer(text)["input_ids"])
            if length > MOST_TOKENS:
                raise ConfigError(f"the text {text!r} has {length} tokens, SAM 3 reads {MOST_TOKENS}: shorten it")
            read = self.tokenizer(text, padding="max_length", max_length=MOST_TOKENS, return_tensors="pt")
            ids, mask = (read[name].to(self.device.name) for name in ("input_ids", "attention_mask"))
            self._texts[text] = self.network.get_text_features(input_ids=ids, attention_mask=mask), mask
        return self._texts[text]


def _toy_config() -> Any:
    from transformers import Sam3Config

    body = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    part = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_attention_heads": 2, "dropout": 0.0}
    places = {
        "image_size": 64,
        "patch_size": 16,
        "pretrain_image_size": 64,
        "window_size": 2,
        "global_attn_indexes": [0],
    }
    return Sam3Config(
        vision_config={
            "backbone_config": {"model_type": "sam3_vit_model", **body, **places},
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model",
            **body,
            "vocab_size": 150,
            "max_position_embeddings": MOST_TOKENS,
            "projection_dim": 32,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        geometry_encoder_config=part,
        detr_encoder_config=part,
        detr_decoder_config={**part, "num_queries": 10},
        mask_decoder_config={"hidden_size": 32, "num_upsampling_stages": 2, "num_attention_heads": 2},
    )
