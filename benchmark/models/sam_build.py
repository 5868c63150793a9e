"""The SAM networks: ViT-H, ViT-L, ViT-B, MobileSAM's ViT-T, and a toy of the same classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.models.runtime import build, load
from benchmark.models.tiny_vit import from_mobile_sam, tiny_vit_encoder

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

SamName = Literal["vit_h", "vit_l", "vit_b", "vit_t", "toy"]
PUBLISHED: dict[str, str] = {"vit_h": "sam_vit_h", "vit_l": "sam_vit_l", "vit_b": "sam_vit_b", "vit_t": "mobile_sam"}
"""Registry name of each network's published weights; the toy has none."""


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    width: int
    depth: int
    heads: int
    everywhere: tuple[int, ...]
    """Blocks that attend over the whole image; the others over windows."""


_ENCODERS = {
    "vit_h": _Encoder(width=1280, depth=32, heads=16, everywhere=(7, 15, 23, 31)),
    "vit_l": _Encoder(width=1024, depth=24, heads=16, everywhere=(5, 11, 17, 23)),
    "vit_b": _Encoder(width=768, depth=12, heads=12, everywhere=(2, 5, 8, 11)),
}


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    image: int = 1024
    channels: int = 256
    mask_channels: int = 16
    depth: int = 2
    hidden: int = 2048
    heads: int = 8
    iou_depth: int = 3
    iou_hidden: int = 256


_TOY = _Sizes(image=128, channels=32, mask_channels=4, depth=1, hidden=64, heads=2, iou_depth=2, iou_hidden=32)


def load_sam(name: SamName, *, weights: Path | None, device: str) -> Sam:
    """Build a SAM network and load its weights.

    Args:
        weights: file of the weights; None: seeded random ones.

    Returns:
        ``segment_anything.modeling.Sam`` in evaluation mode (ViT-T: with MobileSAM's encoder, the
        rest is the same). The toy has 82 thousand parameters and 128 x 128 input.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    network: Sam = build(lambda: _make(name), device=device, weights=weights)
    return load(network, weights, optional=_derived, adapt=from_mobile_sam if name == "vit_t" else dict)


def _derived(name: str) -> bool:
    # Buffers that follow from the architecture; some files carry them.
    return name in ("pixel_mean", "pixel_std") or name.endswith(("attention_bias_idxs", ".ab"))


def _make(name: SamName) -> Sam:
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    sizes = _TOY if name == "toy" else _Sizes()
    grid = sizes.image // 16
    return Sam(
        image_encoder=_encoder(name, sizes),
        prompt_encoder=PromptEncoder(
            embed_dim=sizes.channels,
            image_embedding_size=(grid, grid),
            input_image_size=(sizes.image, sizes.image),
            mask_in_chans=sizes.mask_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=sizes.depth, embedding_dim=sizes.channels, mlp_dim=sizes.hidden, num_heads=sizes.heads
            ),
            transformer_dim=sizes.channels,
            iou_head_depth=sizes.iou_depth,
            iou_head_hidden_dim=sizes.iou_hidden,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


def _encoder(name: SamName, sizes: _Sizes) -> Any:
    from segment_anything.modeling import ImageEncoderViT
    from torch.nn import LayerNorm

    if name == "vit_t":
        return tiny_vit_encoder(img_size=sizes.image)
    toy = _Encoder(width=32, depth=2, heads=2, everywhere=(1,))
    shape = toy if name == "toy" else _ENCODERS[name]
    return ImageEncoderViT(
        img_size=sizes.image,
        depth=shape.depth,
        embed_dim=shape.width,
        num_heads=shape.heads,
        mlp_ratio=2 if name == "toy" else 4,
        norm_layer=partial(LayerNorm, eps=1e-6),
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=shape.everywhere,
        window_size=4 if name == "toy" else 14,
        out_chans=sizes.channels,
    )
