"""GroundingDINO's image-text attention, computed through the few text tokens instead of the many image positions.

Both functions take the place of a module's ``forward`` in ``groundingdino-py`` and use that module's own
parameters; the results differ from the library's by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from benchmark.models.deformable import deformable_attention

if TYPE_CHECKING:
    import torch


Kernels = Literal["fast", "library"]


def prepare(network: Any, *, kernels: Kernels, device: str) -> None:
    """Make a GroundingDINO network take batches of captions, and give it the faster kernels.

    Args:
        network: ``groundingdino.models.GroundingDINO``.
        kernels: ``fast`` differs from the library by rounding, which is enough to change the order of
            queries whose scores are nearly equal; ``library`` agrees with it to the last bit.
        device: the gathering form of deformable attention pays on a CPU; on CUDA the library's is kept.
    """
    transformer = network.transformer
    for layer in transformer.encoder.text_layers:
        layer.forward = partial(text_layer, layer, type(layer).forward)
    if kernels == "library":
        return
    for layer in transformer.encoder.fusion_layers:
        layer.attn.forward = partial(fused_attention, layer.attn)
    if device.startswith("cpu"):
        for layer in transformer.encoder.layers:
            layer.self_attn.forward = partial(sampled_attention, layer.self_attn)
            layer.forward_ffn = partial(feed_forward, layer)
        for layer in transformer.decoder.layers:
            layer.cross_attn.forward = partial(sampled_attention, layer.cross_attn)


def text_layer(
    module: Any,
    forward: Callable[..., torch.Tensor],
    src: torch.Tensor,
    src_mask: torch.Tensor,
    src_key_padding_mask: torch.Tensor | None = None,
    pos: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a text layer with every caption's own mask.

    The library repeats the masks of a batch as (caption, caption, …) where its attention expects
    (head, head, …) of one caption after the other, so that captions of a batch get each other's masks.

    Args:
        forward: the library's own forward.
        src: (T, B, C).
        src_mask: (B, T, T) True where a token must not look.
    """
    return forward(module, src, src_mask.repeat_interleave(module.nhead, dim=0), src_key_padding_mask, pos)


def fused_attention(
    module: Any,
    v: torch.Tensor,
    l: torch.Tensor,  # noqa: E741 - the library calls it by this name
    attention_mask_v: torch.Tensor | None = None,
    attention_mask_l: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend from image to text and from text to image (groundingdino:fuse_modules.py, BiMultiHeadAttention).

    The library projects all N image positions to 1024 channels three times. With T text tokens, T far
    below N, the same sums are taken in the other order: v Wq (l Wk)' = v (Wq (l Wk)'),
    A (l Wl) Wo = A ((l Wl) Wo) and A' (v Wv) = (A' v) Wv, where the bias of Wv passes because rows of A' sum to 1.

    Args:
        v: (B, N, C) image positions.
        l: (B, T, C') text tokens.
        attention_mask_v: (B, N) True on padding.
        attention_mask_l: (B, T) True on padding.

    Returns:
        What to add to the image positions, (B, N, C), and to the text tokens, (B, T, C').
    """
    import torch
    from torch.nn import functional as F

    batch, positions, _ = v.shape
    tokens, heads = l.shape[1], module.num_heads
    keys = module.l_proj(l).view(batch, tokens, heads, -1).transpose(1, 2) * module.scale  # (B, h, T, d)
    queries = module.v_proj.weight.view(heads, module.head_dim, -1)  # (h, d, C)
    seen = (keys @ queries).flatten(1, 2)  # (B, h*T, C)
    offset = (keys @ module.v_proj.bias.view(heads, module.head_dim, 1)).flatten(1)  # (B, h*T)
    scores = torch.baddbmm(offset[:, None], v, seen.transpose(1, 2)).view(batch, positions, heads, tokens)

    to_text = scores.permute(0, 2, 3, 1)  # (B, h, T, N)
    if attention_mask_v is not None and bool(attention_mask_v.any()):
        to_text = to_text.masked_fill(attention_mask_v[:, None, None, :], float("-inf"))
    gathered = to_text.softmax(-1).flatten(1, 2) @ v  # (B, h*T, C)
    weight = module.values_v_proj.weight.view(heads, module.head_dim, -1)
    read = gathered.view(batch, heads, tokens, -1) @ weight.transpose(1, 2)  # (B, h, T, d)
    read = read + module.values_v_proj.bias.view(heads, 1, module.head_dim)
    delta_text = module.out_l_proj(read.transpose(1, 2).flatten(2))

    if attention_mask_l is not None:
        scores = scores.masked_fill(attention_mask_l[:, None, None, :], float("-inf"))
    values = module.values_l_proj(l).view(batch, tokens, heads, -1).transpose(1, 2)  # (B, h, T, d)
    out = module.out_v_proj.weight.view(-1, heads, module.head_dim).permute(1, 2, 0)  # (h, d, C)
    written = (values @ out).flatten(1, 2)  # (B, h*T, C)
    delta_image = scores.softmax(-1).flatten(2) @ written + module.out_v_proj.bias
    return F.dropout(delta_image, module.dropout, module.training), delta_text


ROWS = 1024
"""Positions that pass the wide layer together, so that its output stays in the processor's cache."""


def feed_forward(layer: Any, src: torch.Tensor) -> torch.Tensor:
    """The two-layer perceptron of an encoder layer with its residual and norm, some positions at a time.

    Args:
        src: (B, S, C) (groundingdino:transformer.py, DeformableTransformerEncoderLayer.forward_ffn).
    """
    import torch

    wide = torch.empty_like(src)
    for image in range(len(src)):
        for start in range(0, src.shape[1], ROWS):
            part = (image, slice(start, start + ROWS))
            wide[part] = layer.linear2(layer.activation(layer.linear1(src[part])))
    normed: torch.Tensor = layer.norm2(wide.add_(src))
    return normed


def sampled_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor | None = None,
    value: torch.Tensor | None = None,
    query_pos: torch.Tensor | None = None,
    key_padding_mask: torch.Tensor | None = None,
    reference_points: torch.Tensor | None = None,
    spatial_shapes: torch.Tensor | None = None,
    level_start_index: torch.Tensor | None = None,
) -> torch.Tensor:
    """Deformable attention of one layer (groundingdino:ms_deform_attn.py, MultiScaleDeformableAttention.forward).

    Args:
        query: (B, Q, C).
        value: (B, S, C) all levels one after the other.
        key_padding_mask: (B, S) True on padding.
        reference_points: (B, Q, L, 2) x, y or (B, Q, L, 4) x, y, w, h in [0, 1].
        spatial_shapes: (L, 2) h, w.

    Returns:
        (B, Q, C).
    """
    import torch

    assert value is not None
    assert reference_points is not None
    assert spatial_shapes is not None
    if query_pos is not None:
        query = query + query_pos
    batch, queries, _ = query.shape
    shapes = [(int(h), int(w)) for h, w in spatial_shapes.tolist()]
    values = module.value_proj(value)
    if key_padding_mask is not None and bool(key_padding_mask.any()):
        values = values.masked_fill(key_padding_mask[..., None], 0.0)
    layout = (batch, queries, module.num_heads, module.num_levels, module.num_points)
    offsets = module.sampling_offsets(query).view(*layout, 2)
    weights = module.attention_weights(query).view(*layout[:3], -1).softmax(-1).view(layout)
    sizes = torch.tensor([[w, h] for h, w in shapes], dtype=torch.float32, device=offsets.device)
    # In pixels, 0 at the centre of the first one; the offsets of plain points are pixels already.
    centre = reference_points[..., :2] * sizes - 0.5
    if reference_points.shape[-1] == 4:
        reach = reference_points[..., 2:] * sizes * (0.5 / module.num_points)
        offsets = offsets * reach[:, :, None, :, None]
    x, y = (offsets[..., i].float() + centre[:, :, None, :, None, i] for i in (0, 1))
    heads = values.float().view(batch, -1, module.num_heads, values.shape[-1] // module.num_heads)
    sampled = deformable_attention(heads, shapes, x, y, weights.float())
    projected: torch.Tensor = module.output_proj(sampled.to(values.dtype))
    return projected
