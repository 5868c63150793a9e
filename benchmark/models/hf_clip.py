"""Any CLIP of transformers as an option of the group ``clip``: CLIP, MetaCLIP 2, AltCLIP, SigLIP, SigLIP 2 …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.errors import ConfigError
from benchmark.models import pretrained
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.clip import squash
from benchmark.models.compiling import quicken
from benchmark.models.long_texts import LongTexts, TextReader
from benchmark.models.pretrained import ModelName
from benchmark.models.runtime import Device
from benchmark.models.text_image import Floats, Logits, Need, TextImage, TextImageNetwork, mean_direction
from benchmark.stages.context import Context

if TYPE_CHECKING:
    import torch

CLASSES = {
    "altclip": "AltCLIPModel",
    "chinese_clip": "ChineseCLIPModel",
    "clip": "CLIPModel",
    "metaclip_2": "MetaClip2Model",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
}
"""Kind of model in ``config.json`` to transformers' class; SigLIP 2 is a ``siglip``, as NaFlex a ``siglip2``."""
WHAT = "network of images and texts"
SIGMOID = ("siglip", "siglip2")
"""Kinds with a probability for each pair, texts padded to the full length, and attention as the image side's head."""
NAFLEX = "siglip2"
"""Kind that sees an image in its proportions, as a sequence of patches."""
_RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Numbers of PIL, as processors have them."""


class HfClip(TextImage):
    """Which network of transformers, and how its image side computes."""

    toy: ClassVar = None

    model: ModelName
    """``OWNER/NAME`` of the hub, with ``@COMMIT`` where it is to stay one, or a folder."""
    weights: WeightsSetting
    """``published`` are those of the model."""
    compile: bool
    """Whether the image side is compiled (torch.compile); by rounding, vectors differ."""
    input_size: int | None = Field(ge=32)
    """Side of the square that images are resized to, pixels; null: the model's own."""

    @property
    def side(self) -> int:
        """Side of the square that images are resized to, pixels."""
        return self.input_size or int(self._config().vision_config.image_size)

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        return {"clip": pretrained.request(self.model, self.weights, network="CLIP")}

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of images, as JSON values for a stage.

        Raises:
            ConfigError: ``input_size`` for a network that sees images in their proportions, or no whole patches.
        """
        config = self._config()
        patch = int(config.vision_config.patch_size)
        if config.model_type == NAFLEX and self.input_size:
            raise ConfigError(f"input_size: {self.model} sees images in their proportions; set it to null")
        if config.model_type != NAFLEX and self.side % patch:
            raise ConfigError(f"input_size: {self.side} pixels are no whole patches of {patch}, as {self.model} has")
        side = {} if config.model_type == NAFLEX else {"input_size": self.side}
        return {**self.text_facts(), "precision": self.precision, **side, **({"compile": True} if self.compile else {})}

    def text_facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of texts, as JSON values for a stage."""
        return pretrained.facts(self.model)

    def lacks(self, need: Need) -> str | None:
        """Return what stands against a method's need (``TextImage.lacks``)."""
        kind, name = self._config().model_type, pretrained.name_of(self.model)
        if need == "sigmoid":
            return None if kind in SIGMOID else f"{name}, a {kind}, has only shares of a softmax"
        if kind not in SIGMOID:
            return None
        return (
            f"{name}, a {kind}, has no class token, its head looks at all patches; "
            "take one that has (CLIP, MetaCLIP 2, AltCLIP)"
        )

    def prepare(
        self, network: TextImageNetwork, image: NDArray[np.uint8], *, on: Literal["pixels", "tensor"] = "pixels"
    ) -> torch.Tensor:
        """Resize an image, whole, and normalise it as the model was trained with (``TextImage.prepare``)."""
        assert isinstance(network, TransformersClip)
        given = network.processor
        resample = _RESAMPLE.get(int(given.resample), "bicubic")
        return squash(image, network.side, on=on, mean=given.image_mean, std=given.image_std, resample=resample)

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> TransformersClip:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["clip"]

        def load() -> TransformersClip:
            import transformers

            config = self._config()
            kind = getattr(transformers, CLASSES[config.model_type])
            network = pretrained.load_network(kind, config, weights.path, device=device.name)
            quicken(network.vision_model.encoder, what="clip's image side", compiled=self.compile, device=device)
            side = 0 if config.model_type == NAFLEX else self.side
            processor = pretrained.image_processor(self.model, backend="pil")
            return TransformersClip(network, processor, pretrained.tokenizer(self.model), device=device, side=side)

        key = ("hf clip", pretrained.key_of(self.model), weights.sha256, device, self.input_size, self.compile)
        return context.model(key, load)

    def embed(self, network: TextImageNetwork, images: Sequence[NDArray[np.uint8]]) -> Floats:
        """Embed images, (H, W, 3) RGB each of its own size: (B, E), not normalised."""
        assert isinstance(network, TransformersClip)
        if network.kind != NAFLEX:
            return super().embed(network, images)
        ready = [np.ascontiguousarray(image) for image in images]
        return network.embed(network.processor(images=ready, input_data_format="channels_last", return_tensors="pt"))

    def _config(self) -> Any:
        return pretrained.read_config(self.model, of=CLASSES, what=WHAT)


class TransformersClip:
    """A network of images and texts of transformers (``TextImageNetwork``).

    Args:
        network: a class of ``CLASSES``.
        processor: says how images are resized and normalised; with NaFlex it does so itself.
        tokenizer: the model's own.
        device: where the network lies, and the precision of its image side; texts are float32.
        side: of the square that images are resized to, pixels; 0 with NaFlex.
    """

    def __init__(self, network: Any, processor: Any, tokenizer: Any, *, device: Device, side: int) -> None:
        self.network, self.processor, self.tokenizer = network, processor, tokenizer
        self.device, self.side = device, side
        self.kind: str = network.config.model_type
        text = network.config.text_config
        self.most: int = min(text.max_position_embeddings, tokenizer.model_max_length)
        """Tokens that it reads, special ones included."""
        if self.kind == "altclip":  # its places begin behind the padding's
            self.most = min(self.most, text.max_position_embeddings - text.pad_token_id - 1)
        own_width = text.projection_size if self.kind in SIGMOID else network.config.projection_dim
        self.width = int(own_width)
        bias = getattr(network, "logit_bias", None)
        self.logits = Logits(float(network.logit_scale.exp()), None if bias is None else float(bias))

    @property
    def tower(self) -> HfTower:
        """Its image side in steps, of a network with a class token."""
        return HfTower(self.network)

    def vectors(self, images: Sequence[torch.Tensor]) -> Floats:
        """Embed prepared images, (3, s, s) each: (B, E) float32, not normalised."""
        import torch

        return self.embed({"pixel_values": torch.stack(list(images)), "interpolate_pos_encoding": True})

    def embed(self, inputs: Mapping[str, Any]) -> Floats:
        """Embed what a processor of the library made of images: (B, E) float32, not normalised."""
        import torch

        send = self.device.send
        with self.device.inference():
            placed = {name: send(v) if isinstance(v, torch.Tensor) else v for name, v in inputs.items()}
            return _array(self.network.get_image_features(**placed).pooler_output)

    @property
    def reader(self) -> TextReader:
        """How much of a text it reads."""
        return TextReader(encode=self._encoded, decode=self.tokenizer.decode, most=self.most)

    def _encoded(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(self._spelt(text), verbose=False)["input_ids"]
        return tokens

    def _spelt(self, text: str) -> str:
        return text.lower() if self.kind in SIGMOID else text

    def text(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed a text given as several prompts: their unit vectors' mean, made a unit vector; (E,)."""
        return mean_direction(self.text_vectors(prompts, long_texts=long_texts))

    def text_vectors(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed prompts one by one: (N, E), not normalised.

        SigLIP reads small letters, padded to the length that it was trained with, the padding looked at like all else
        (google-research/big_vision:big_vision/models/proj/image_text/text_transformer.py).

        Raises:
            ConfigError: a prompt is longer than the network reads, and is refused.
        """
        own = self.kind in SIGMOID
        self.reader.check(prompts, long_texts)
        read = self.tokenizer(
            [self._spelt(prompt) for prompt in prompts],
            return_tensors="pt",
            return_attention_mask=not own,
            padding="max_length" if own else "longest",
            max_length=self.most,
            truncation=True,
        )
        names = ("input_ids",) if own else ("input_ids", "attention_mask")
        with Device(name=self.device.name).inference():
            inputs = {name: read[name].to(self.device.name) for name in names}
            return _array(self.network.get_text_features(**inputs).pooler_output)


class HfTower:
    """The image side of a CLIP of transformers in steps (``Tower``)."""

    def __init__(self, network: Any) -> None:
        self.visual, self.projection = network.vision_model, network.visual_projection
        self.patch = int(network.config.vision_config.patch_size)

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class and patch embeddings with their positions."""
        start: torch.Tensor = self.visual.embeddings(pixels, interpolate_pos_encoding=True)
        return start

    def encode(self, start: torch.Tensor) -> torch.Tensor:
        """Run the transformer."""
        stream: torch.Tensor = self.visual.encoder(inputs_embeds=self.visual.pre_layrnorm(start)).last_hidden_state
        return stream

    def normed(self, stream: torch.Tensor) -> torch.Tensor:
        """The norm behind the blocks."""
        normed: torch.Tensor = self.visual.post_layernorm(stream)
        return normed

    def class_vector(self, stream: torch.Tensor) -> torch.Tensor:
        """The class token, normed and projected."""
        vector: torch.Tensor = self.projection(self.visual.post_layernorm(stream[:, 0]))
        return vector


def _array(values: torch.Tensor) -> Floats:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
