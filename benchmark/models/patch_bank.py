"""PatchCore's memory of normal patches: what goes into it, and how far a patch is from it (arXiv 2106.08265)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.models.runtime import one_thread_each

if TYPE_CHECKING:
    import torch

PROJECTED = 128
"""Dimensions that patches are projected to while the memory is chosen; distances keep about their ratios."""
CHUNK = 1 << 24
"""Most distances held at a time."""
BLOCK = 1 << 17
"""Values of points that a thread works on at a time: 512 kB."""


class Found(NamedTuple):
    """How far the patches of one image are from the memory."""

    distances: NDArray[np.float32]
    """(N,) to the nearest remembered patch."""
    image_score: float
    """Of the whole image (paper, eq. 7)."""


def patch_vectors(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return locally averaged features of all levels, (h * w, C) float32, on the grid of the first one.

    3 x 3 averages of each level, the coarse ones brought to the fine grid
    (open-edge-platform/anomalib:src/anomalib/models/image/patchcore/torch_model.py, generate_embedding).

    Args:
        maps: (C_l, h_l, w_l) float32 each, the finest first.
    """
    import torch
    from torch.nn import functional as F

    fine, *coarse = (F.avg_pool2d(level[None], 3, 1, 1) for level in maps)
    spread = [F.interpolate(level, fine.shape[-2:], mode="bilinear", align_corners=False) for level in coarse]
    return torch.cat([fine, *spread], dim=1)[0].flatten(1).T


def choose_spread(vectors: torch.Tensor, *, number: int, seed: int) -> NDArray[np.int64]:
    """Choose vectors that lie far from each other: from a random first one, always the farthest from all chosen.

    The greedy k-centre rule on a random projection, as in PatchCore's coreset (paper, algorithm 1).

    Args:
        vectors: (N, C).
        number: how many; all where there are fewer.
        seed: of the first one and the projection.
    """
    import torch

    if number >= len(vectors):
        return np.arange(len(vectors))
    draws = np.random.default_rng(seed)
    points = vectors
    if vectors.shape[1] > PROJECTED:
        matrix = draws.standard_normal((vectors.shape[1], PROJECTED), dtype=np.float32) / np.sqrt(np.float32(PROJECTED))
        points = vectors @ torch.from_numpy(matrix).to(vectors.device)
    chosen = [int(draws.integers(len(vectors)))]
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    blocks = _blocks(points, threads=torch.get_num_threads())
    with one_thread_each() as pool:
        while len(chosen) < number:
            for _ in pool.map(partial(_approach, points, nearest, points[chosen[-1]]), blocks):
                pass
            nearest[chosen[-1]] = -1.0
            chosen.append(int(nearest.argmax()))
    return np.array(chosen, dtype=np.int64)


def _blocks(points: torch.Tensor, *, threads: int) -> list[list[slice]]:
    """Share rows between threads, in blocks that stay in a core's cache; a CUDA device takes all at once."""
    step = len(points) if points.is_cuda else max(1, BLOCK // points.shape[1])
    blocks = [slice(start, start + step) for start in range(0, len(points), step)]
    return [share for number in range(threads) if (share := blocks[number::threads])]


def _approach(points: torch.Tensor, nearest: torch.Tensor, newest: torch.Tensor, blocks: Sequence[slice]) -> None:
    """Note in ``nearest``, in place, where the newest point is nearer than all chosen before it (squared distance)."""
    import torch

    for rows in blocks:
        squared = (points[rows] - newest).square_().sum(1)
        torch.minimum(nearest[rows], squared, out=nearest[rows])


def compare(patches: torch.Tensor, memory: torch.Tensor, *, neighbours: int) -> Found:
    """Compare the patches of one image, (N, C), with the memory, (M, C).

    Args:
        neighbours: b of the image score: the largest distance is weighed down where the remembered patches around its
            nearest one are as far away; 1: the largest distance itself.
    """
    import torch

    nearest, which = _nearest(patches, memory)
    worst = int(nearest.argmax())
    score = nearest[worst]
    if neighbours > 1:
        around = _distances(memory[which[worst]][None], memory)[0]
        support = around.topk(min(neighbours, len(memory)), largest=False).indices
        away = _distances(patches[worst][None], memory[support])[0]
        score = score * (1.0 - torch.softmax(away, dim=0)[0])
    return Found(np.asarray(nearest.cpu().numpy(), dtype=np.float32), float(score))


def _nearest(patches: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to, and number of, the nearest remembered patch, a bounded number of distances at a time."""
    import torch

    step = max(1, CHUNK // len(memory))
    parts = [_distances(patches[i : i + step], memory).min(1) for i in range(0, len(patches), step)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def _distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    centre = right.mean(0)  # distances stay the same, and less is lost where long products cancel
    left, right = left - centre, right - centre
    squares = left.square().sum(1)[:, None] + right.square().sum(1)[None] - 2.0 * (left @ right.T)
    return squares.clamp_min_(0).sqrt_()
