"""CLIP as the pipelines use it: image tokens (plain or with CLIP Surgery's attention), and text vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError
from benchmark.models.long_texts import LongTexts, TextReader
from benchmark.models.runtime import Device
from benchmark.models.text_image import Logits

if TYPE_CHECKING:
    import torch
    from open_clip.model import CLIP

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
SURGERY_TEMPLATES = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
"""What CLIP Surgery adds to OpenAI's 80 ImageNet templates (xmed-lab/CLIP_Surgery:clip/clip.py)."""


def prompt_ensemble(text: str) -> list[str]:
    """Put a text into the 85 templates of CLIP Surgery."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return [template(text) for template in OPENAI_IMAGENET_TEMPLATES] + [t.format(text) for t in SURGERY_TEMPLATES]


def token_ids(prompts: Sequence[str], *, most: int, long_texts: LongTexts = "refuse") -> torch.Tensor:
    """Cut texts into CLIP's tokens, (N, most) int64: start, text, end, zeros.

    Raises:
        ConfigError: a text has more than ``most`` tokens and is refused.
    """
    text_reader(most).check(prompts, long_texts)
    ids: torch.Tensor = _tokenizer()(list(prompts), context_length=most)
    return ids


def text_reader(most: int) -> TextReader:
    """Return how a CLIP that reads ``most`` tokens reads texts."""
    words = _tokenizer()
    return TextReader(
        encode=lambda text: [words.sot_token_id, *words.encode(text), words.eot_token_id],
        decode=words.decode,
        most=most,
    )


def squash(
    image: NDArray[np.uint8],
    side: int,
    *,
    on: Literal["pixels", "tensor"] = "pixels",
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = DEVIATION,
    resample: str = "bicubic",
) -> torch.Tensor:
    """Resize an image, (H, W, 3) uint8 RGB, to a square and normalise it: (3, side, side) float32.

    With antialias, the whole image, proportions lost on purpose (xmed-lab/CLIP_Surgery:clip/clip.py, _transform).

    Args:
        on: resize 8-bit pixels, whose values are rounded then, or floats.
        mean, std: per RGB channel, of values in [0, 1].
        resample: ``bicubic`` or ``bilinear``.
    """
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import normalize, resize, to_tensor

    if on == "pixels":
        pixels = to_tensor(resize(Image.fromarray(image), [side, side], InterpolationMode(resample)))
    else:
        pixels = resize(to_tensor(image), [side, side], InterpolationMode(resample), antialias=True)
    normal: torch.Tensor = normalize(pixels, list(mean), list(std))
    return normal


def squash_tensor(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Resize and normalise a tensor, (3, h, w) float32, that Text2Seg has normalised for another network before.

    Bicubic without antialias, as torchvision did it on tensors when that code was written
    (Douglas2Code/Text2Seg:text2seg/text2seg.py, predict_CLIPS).
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import normalize, resize

    squashed = resize(pixels, [side, side], InterpolationMode.BICUBIC, antialias=False)
    normal: torch.Tensor = normalize(squashed, list(MEAN), list(DEVIATION))
    return normal


class Clip:
    """A CLIP network with a vision transformer.

    Args:
        network: from ``load_clip``.
        device: where the network lies, and the precision of its image side; texts are float32.
    """

    def __init__(self, network: CLIP, *, device: Device) -> None:
        self.network = network
        self.device = device
        self.width = int(network.visual.output_dim)
        """Length of its vectors."""

        self.logits = Logits()

    @property
    def tower(self) -> ClipTower:
        """Its image side in steps (``Tower``)."""
        return ClipTower(self.network.visual)

    def vectors(self, images: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Embed prepared images, (3, s, s) each: (B, E) float32, not normalised."""
        return self.tokens(images, surgery=0)[:, 0]

    def tokens(self, images: Sequence[torch.Tensor], *, surgery: int) -> NDArray[np.float32]:
        """Embed prepared images, (3, s, s) each, to all tokens, (B, 1 + g * g, E) float32, not normalised.

        Args:
            surgery: how many of the last blocks get a second stream of value-value attention, which the
                patch tokens are then taken from; the class token is always that of plain CLIP. 0: plain CLIP.
        """
        import torch

        with self.device.inference():
            pixels = self.device.send(torch.stack(list(images)))
            return np.asarray(self._vision(pixels, surgery).float().cpu().numpy(), dtype=np.float32)

    @property
    def reader(self) -> TextReader:
        """How much of a text it reads."""
        return text_reader(self.network.context_length)

    def text(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> NDArray[np.float32]:
        """Embed a text given as several prompts: their unit vectors' mean, made a unit vector; (E,) float32.

        Raises:
            ConfigError: a prompt is longer than the network reads, and is refused.
        """
        with Device(name=self.device.name).inference():
            vectors = self._text(prompts, long_texts)
            vectors = vectors / vectors.norm(dim=-1, keepdim=True)
            mean = vectors.mean(dim=0) if len(prompts) > 1 else vectors[0]
            unit: torch.Tensor = mean / mean.norm() if len(prompts) > 1 else mean
            return np.asarray(unit.cpu().numpy(), dtype=np.float32)

    def text_vectors(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> NDArray[np.float32]:
        """Embed prompts one by one: (N, E) float32, not normalised.

        Raises:
            ConfigError: a prompt is longer than the network reads, and is refused.
        """
        with Device(name=self.device.name).inference():
            return np.asarray(self._text(prompts, long_texts).cpu().numpy(), dtype=np.float32)

    def _text(self, prompts: Sequence[str], long_texts: LongTexts) -> torch.Tensor:
        tokens = token_ids(prompts, most=self.network.context_length, long_texts=long_texts).to(self.device.name)
        embedded: torch.Tensor = self.network.encode_text(tokens)
        return embedded

    def _vision(self, pixels: torch.Tensor, surgery: int) -> torch.Tensor:
        """The vision transformer (xmed-lab/CLIP_Surgery:clip/clip_surgery_model.py, VisionTransformer.forward)."""
        import torch

        visual = self.network.visual
        stream = visual.ln_pre(embed(visual, pixels))
        blocks = visual.transformer.resblocks
        plain, second = len(blocks) - surgery, None
        if plain < 0:
            raise ConfigError(f"surgery on {surgery} blocks of a network that has {len(blocks)}")
        for i, block in enumerate(blocks):
            if surgery and i == plain:
                second = stream
            read = block.ln_1(stream)
            query, key, value = heads(block, read)
            if second is not None:
                second = second + attend(block, value, value, value)
            stream = stream + attend(block, query, key, value)
            stream = stream + block.mlp(block.ln_2(stream))
        if second is not None:
            stream = torch.cat([stream[:, :1], second[:, 1:]], dim=1)
        projected: torch.Tensor = visual.ln_post(stream) @ visual.proj
        return projected


class ClipTower:
    """The image side of a CLIP in steps (``Tower``); zqhang/Accurate-WinCLIP-pytorch:src/open_clip/transformer.py."""

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.patch = int(visual.patch_size[0])

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class and patch embeddings with their positions, before ``ln_pre``."""
        return embed(self.visual, pixels)

    def encode(self, start: torch.Tensor) -> torch.Tensor:
        """Run the transformer."""
        stream: torch.Tensor = self.visual.ln_pre(start)
        for block in self.visual.transformer.resblocks:
            stream = stream + block.ls_1(attend(block, *heads(block, block.ln_1(stream))))
            stream = stream + block.ls_2(block.mlp(block.ln_2(stream)))
        return stream

    def normed(self, stream: torch.Tensor) -> torch.Tensor:
        """The norm behind the blocks."""
        normed: torch.Tensor = self.visual.ln_post(stream)
        return normed

    def class_vector(self, stream: torch.Tensor) -> torch.Tensor:
        """The class token, normed and projected."""
        vector: torch.Tensor = self.visual.ln_post(stream[:, 0]) @ self.visual.proj
        return vector


def embed(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Class and patch embeddings with their positions, before ``ln_pre``: (B, 1 + g * g, C)."""
    import torch

    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    start = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    return torch.cat([start, patches], dim=1) + _positions(visual, patches.shape[1])


@cache
def _tokenizer() -> Any:
    """OpenAI's byte-pair tokenizer; reading its merges takes a quarter of a second."""
    from open_clip import get_tokenizer

    return get_tokenizer("ViT-B-16-quickgelu")


def _positions(visual: Any, patches: int) -> torch.Tensor:
    """Position codes for a square grid of ``patches``, always resized from the trained grid."""
    import torch
    from torch.nn import functional as F

    codes: torch.Tensor = visual.positional_embedding
    trained, side = round((len(codes) - 1) ** 0.5), round(patches**0.5)
    if side == trained:
        return codes
    grid = codes[1:].view(1, trained, trained, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, (side, side), mode="bilinear", align_corners=False)
    return torch.cat([codes[:1], resized[0].flatten(1).T])


def heads(block: Any, read: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Query, key and value of a block, (B, heads, N, d) each, from its packed projection."""
    from torch.nn import functional as F

    attention = block.attn
    packed = F.linear(read, attention.in_proj_weight, attention.in_proj_bias)
    batch, tokens, _ = packed.shape
    return packed.view(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def attend(block: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(query key' / sqrt(d)) value, then the block's output projection: (B, N, C)."""
    from torch.nn import functional as F

    read = F.scaled_dot_product_attention(query, key, value)
    projected: torch.Tensor = block.attn.out_proj(read.transpose(1, 2).flatten(2))
    return projected
