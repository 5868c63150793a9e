"""The CLIP networks: OpenAI's ViT-B/16 and ViT-L/14@336, LAION's ViT-B/16+ at 240 pixels, and toys of their class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.models.runtime import build, load

if TYPE_CHECKING:
    from open_clip.model import CLIP

ClipName = Literal["vit_b_16", "vit_l_14_336", "vit_b_16_plus_240", "toy", "toy_plus"]
PUBLISHED: dict[str, str] = {
    "vit_b_16": "clip_vit_b_16",
    "vit_l_14_336": "clip_vit_l_14_336",
    "vit_b_16_plus_240": "clip_vit_b_16_plus_240_e31",
}
"""Registry name of each network's published weights; the toys have none."""
# OpenAI's weights want the quick form of GELU; under the plain names open_clip computes another one without a word.
_NAMES = {
    "vit_b_16": "ViT-B-16-quickgelu",
    "vit_l_14_336": "ViT-L-14-336-quickgelu",
    "vit_b_16_plus_240": "ViT-B-16-plus-240",
}
_TOYS = {"toy": (224, 8), "toy_plus": (96, 12)}  # side and layers


def load_clip(name: ClipName, *, weights: Path | None, device: str) -> CLIP:
    """Build a CLIP network and load its weights.

    Args:
        weights: OpenAI's archive, or a state dict with its names; None: seeded random weights.

    Returns:
        ``open_clip.model.CLIP`` in evaluation mode, float32.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    return load(build(lambda: _make(name), device=device, weights=weights), weights, optional=not_a_weight)


def not_a_weight(name: str) -> bool:
    """Whether a name in OpenAI's archives is one of the sizes that they carry beside the weights."""
    return name in ("input_resolution", "context_length", "vocab_size")


def _make(name: ClipName) -> CLIP:
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    if name not in _TOYS:
        network: CLIP = open_clip.create_model(_NAMES[name], pretrained=None, precision="fp32")
        return network
    side, layers = _TOYS[name]
    return CLIP(
        embed_dim=64,
        vision_cfg=CLIPVisionCfg(layers=layers, width=128, patch_size=16, image_size=side, head_width=64),
        text_cfg=CLIPTextCfg(width=64, heads=1, layers=2),
        quick_gelu=name == "toy",
    )
