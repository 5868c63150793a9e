"""SAM's image attention on a CPU, some rows at a time: the same sums in the same order, in the processor's cache."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam

CACHE_BYTES = 1 << 22
"""Attention weights written down at a time, per thread."""


def prepare(network: Sam, *, device: str) -> None:
    """Give SAM's ViT encoder the attention below on a CPU; on CUDA, and in MobileSAM's encoder, nothing changes."""
    from segment_anything.modeling import ImageEncoderViT

    if device.startswith("cpu") and isinstance(network.image_encoder, ImageEncoderViT):
        for block in network.image_encoder.blocks:
            block.attn.forward = partial(attention, block.attn)


def attention(module: Any, x: torch.Tensor) -> torch.Tensor:
    """Attend with decomposed relative positions (segment_anything:image_encoder.py, Attention.forward).

    The library writes down all weights, 805 MB for a block of ViT-B that sees the whole image, several times over.
    Here two heads or more and some rows of positions pass at a time; no sum is taken in another order.

    Args:
        x: (B, H, W, C).

    Returns:
        (B, H, W, C).
    """
    import torch
    from segment_anything.modeling.image_encoder import get_rel_pos

    batch, height, width, _ = x.shape
    places = height * width
    parts = module.qkv(x).reshape(batch, places, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = parts.reshape(3, batch * module.num_heads, places, -1).unbind(0)
    scaled, grid = query * module.scale, query.reshape(-1, height, width, query.shape[-1])
    above = beside = None
    if module.use_rel_pos:
        above = torch.einsum("bhwc,hkc->bhwk", grid, get_rel_pos(height, height, module.rel_pos_h))
        beside = torch.einsum("bhwc,wkc->bhwk", grid, get_rel_pos(width, width, module.rel_pos_w))

    at_once = CACHE_BYTES * torch.get_num_threads() // (places * x.element_size())  # rows of weights
    group = max(2, at_once // places // 2 * 2)  # of one head alone the library's product rounds otherwise
    lines = min(height, max(1, at_once // (group * width)))
    attended = torch.empty_like(query)
    for head in range(0, len(query), group):
        heads = slice(head, head + group)
        for line in range(0, height, lines):
            rows = slice(line * width, (line + lines) * width)
            weights = scaled[heads, rows] @ key[heads].transpose(-2, -1)
            if above is not None and beside is not None:
                part = (heads, slice(line, line + lines))
                spread = weights.view(len(weights), -1, width, height, width)
                spread.add_(above[part][..., None]).add_(beside[part][..., None, :])
            attended[heads, rows] = weights.softmax(dim=-1) @ value[heads]
    joined = attended.view(batch, module.num_heads, height, width, -1).permute(0, 2, 3, 1, 4)
    result: torch.Tensor = module.proj(joined.reshape(batch, height, width, -1))
    return result
