"""MobileSAM's image encoder: timm's TinyViT with the strides, the neck and the weight names of MobileSAM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

CHANNELS = 256
_RULES = (
    (r"^patch_embed\.seq\.0\.", "patch_embed.conv1."),
    (r"^patch_embed\.seq\.2\.", "patch_embed.conv2."),
    (r"^layers\.(\d+)\.", r"stages.\1."),
)


def tiny_vit_encoder(*, img_size: int = 1024) -> nn.Module:
    """Build the encoder: (B, 3, img_size, img_size) float -> (B, 256, img_size/16, img_size/16).

    The network is ``tiny_vit_5m`` except that the last stage does not halve the resolution, and a
    neck of two convolutions follows instead of the classifier
    (ChaoningZhang/MobileSAM:mobile_sam/modeling/tiny_vit_sam.py).
    """
    from segment_anything.modeling.common import LayerNorm2d
    from timm.models.tiny_vit import TinyVit
    from torch import nn

    class TinyVitEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.img_size = img_size
            self.body = TinyVit(
                num_classes=0,
                embed_dims=(64, 128, 160, 320),
                depths=(2, 2, 6, 2),
                num_heads=(2, 4, 5, 10),
                window_sizes=(7, 7, 14, 7),
                drop_path_rate=0.0,
            )
            self.body.stages[3].downsample.conv2.conv.stride = (1, 1)
            self.body.head = nn.Identity()
            self.neck = nn.Sequential(
                nn.Conv2d(320, CHANNELS, kernel_size=1, bias=False),
                LayerNorm2d(CHANNELS),
                nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1, bias=False),
                LayerNorm2d(CHANNELS),
            )

        def forward(self, x: Any) -> Any:
            x = self.body.patch_embed(x)
            for stage in self.body.stages:
                x = stage(x)
            return self.neck(x)

    return TinyVitEncoder()


def from_mobile_sam(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the encoder's weights of a MobileSAM file; the unused classifier head is left out.

    Args:
        state: names to tensors of the whole file; those outside ``image_encoder.`` pass unchanged.
    """
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith("image_encoder."):
            renamed[name] = tensor
            continue
        short = name.removeprefix("image_encoder.")
        if short.startswith(("head.", "norm_head.")) or short.endswith("attention_bias_idxs"):
            continue
        renamed[f"image_encoder.{short if short.startswith('neck.') else 'body.' + _timm_name(short)}"] = tensor
    return renamed


def _timm_name(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    # MobileSAM halves the resolution at the end of a stage, timm at the start of the next one.
    name = re.sub(r"^stages\.(\d+)\.downsample\.", lambda found: f"stages.{int(found.group(1)) + 1}.downsample.", name)
    # A convolution with its batch norm is called c and bn there, conv and bn here.
    return re.sub(r"\.c\.weight$", ".conv.weight", name)
