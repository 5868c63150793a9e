"""Deformable attention as a table look-up: the same result as sampling a grid, in far less time on a CPU."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Queries computed together, so that what is written down for them stays in the processor's cache."""


def deformable_attention(
    value: torch.Tensor, shapes: list[tuple[int, int]], x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sample a feature pyramid at given places and sum up, weighted (Deformable DETR, eq. 3).

    Every level gets a border of zeros and becomes rows of one table; the four neighbours of a sampled place
    are four rows of it, and one pass of ``embedding_bag`` gathers and sums them. Rows lie together in
    memory, and no sampled value is ever written out. Bilinear, zero outside, as ``grid_sample`` with
    ``align_corners=False`` does it (groundingdino:ms_deform_attn.py).

    Args:
        value: (B, S, M, D) float32, S positions of all levels one after the other, M heads.
        shapes: (h, w) of each level.
        x, y: (B, Q, M, L, P) places in pixels of the level, 0 at the centre of the first one.
        weights: (B, Q, M, L, P) that sum to 1 over L and P.

    Returns:
        (B, Q, M * D) float32.
    """
    import torch

    heads, depth = value.shape[2:]
    queries = x.shape[1]
    summed = torch.empty((len(value), queries, heads * depth), dtype=value.dtype, device=value.device)
    for image, features in enumerate(value):
        table = _table(features, shapes)
        for start in range(0, queries, CHUNK):
            part = (image, slice(start, start + CHUNK))
            summed[part] = _gather(table, heads, shapes, x[part], y[part], weights[part])
    return summed


def _table(features: torch.Tensor, shapes: list[tuple[int, int]]) -> torch.Tensor:
    """All levels of one image, (S, M, D), with a border of zeros each, as rows (S' * M, D)."""
    import torch
    from torch.nn import functional as F

    parts = torch.split(features, [h * w for h, w in shapes])
    # One line more below, and one row at the end: neighbours of places on the far border are looked up too.
    padded = [
        F.pad(part.view(h, w, *part.shape[1:]), (0, 0, 0, 0, 1, 1, 1, 2)).flatten(0, 1)
        for part, (h, w) in zip(parts, shapes, strict=True)
    ]
    return torch.cat([*padded, features.new_zeros((1, *features.shape[1:]))]).flatten(0, 1)


def _gather(
    table: torch.Tensor,
    heads: int,
    shapes: list[tuple[int, int]],
    x: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Some queries of one image: x, y and weights (Q, M, L, P) -> (Q, M * D)."""
    import torch
    from torch.nn import functional as F

    def level(numbers: list[int], kind: torch.dtype = x.dtype) -> torch.Tensor:
        return torch.tensor(numbers, dtype=kind, device=table.device)[:, None]

    queries = len(x)
    line = [(w + 2) * heads for _, w in shapes]
    starts = [0, *accumulate((h + 3) * (w + 2) * heads for h, w in shapes)][:-1]
    first = level([start + step + heads for start, step in zip(starts, line, strict=True)])
    first = first + torch.arange(heads, dtype=x.dtype, device=table.device)[:, None, None]
    # Beyond the border there is nothing: from one pixel outside on, a place sees zeros only.
    x = x.clamp(level([-1]), level([w for _, w in shapes]))
    y = y.clamp(level([-1]), level([h for h, _ in shapes]))
    left, above = x.floor(), y.floor()
    right_share, below = x.sub_(left), y.sub_(above).mul_(weights)
    # Row numbers are exact in float32: they stay far below 2 ** 24.
    corner = torch.addcmul(first, above, level(line)).add_(left, alpha=heads).to(torch.int32)
    rows = torch.empty((*x.shape[:2], 4, *x.shape[2:]), dtype=torch.int32, device=table.device)
    shares = torch.empty(rows.shape, dtype=table.dtype, device=table.device)
    rows[:, :, 0] = corner
    torch.add(corner, heads, out=rows[:, :, 1])
    torch.add(corner, level(line, torch.int32), out=rows[:, :, 2])
    torch.add(rows[:, :, 2], heads, out=rows[:, :, 3])
    torch.mul(below, right_share, out=shares[:, :, 3])
    torch.sub(below, shares[:, :, 3], out=shares[:, :, 2])
    torch.mul(weights - below, right_share, out=shares[:, :, 1])
    torch.sub(weights - below, shares[:, :, 1], out=shares[:, :, 0])
    bag = rows[0, 0].numel()
    gathered = F.embedding_bag(rows.view(-1, bag), table, mode="sum", per_sample_weights=shares.view(-1, bag))
    return gathered.view(queries, -1)
