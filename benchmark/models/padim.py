"""PaDiM's maths: one Gaussian of normal features at each place of the image (arXiv 2011.08785)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.core.lazy import batched

if TYPE_CHECKING:
    import torch

GROUP = 16
"""Images whose embeddings are held at a time."""
BLOCK = 1 << 26
"""Most values of the covariances that are factorised together."""


class Gaussians(NamedTuple):
    """The distribution of normal features at each of P places."""

    mean: NDArray[np.float32]
    """(P, D)."""
    whitening: NDArray[np.float32]
    """(P, D, D) lower triangular W with W S W' = 1 for the covariance S: a distance is \\|W (x - mean)\\|."""


def embed(maps: Sequence[torch.Tensor], channels: torch.Tensor) -> torch.Tensor:
    """Return chosen channels of all feature maps at each place of the first, (P, D) float32, row by row.

    The others are brought to its grid by nearest neighbour
    (open-edge-platform/anomalib:src/anomalib/models/image/padim/torch_model.py, generate_embedding).

    Args:
        maps: (C, h, w) of each layer, the finest first.
        channels: (D,) numbers among all channels of all layers.
    """
    import torch
    from torch.nn import functional as F

    size = maps[0].shape[-2:]
    same = [maps[0].float(), *(F.interpolate(level[None].float(), size)[0] for level in maps[1:])]
    return torch.cat(same).index_select(0, channels.to(same[0].device)).flatten(1).T.contiguous()


def choose_channels(total: int, number: int, *, seed: int) -> NDArray[np.int64]:
    """Choose channels at random, in rising order (section III-B); all where ``total`` is not larger."""
    if number >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, number, replace=False))


def fit(embeddings: Iterable[torch.Tensor], *, regularisation: float) -> tuple[Gaussians, int]:
    """Fit a Gaussian at each place (equation 1), in one pass over the images.

    Sums are held in float64: P * D * D * 8 bytes, however many images there are.

    Args:
        embeddings: (P, D) of each normal image; one at least.
        regularisation: added to the diagonal of each covariance (epsilon of the paper), > 0.

    Returns:
        The distribution, and of how many images.
    """
    import torch

    total = products = first = None
    count = 0
    for group in batched(embeddings, GROUP):
        if first is None:
            first = group[0].double()  # differences to it: less is lost where products of large values cancel
            total, products = torch.zeros_like(first), first.new_zeros((*first.shape, first.shape[1]))
        assert total is not None and products is not None
        shifted = torch.stack([embedding.double() - first for embedding in group], dim=2)
        total += shifted.sum(2)
        products.baddbmm_(shifted, shifted.transpose(1, 2))
        count += len(group)
    if first is None or total is None or products is None:
        raise ValueError("a Gaussian cannot be fitted to no image")
    offset = total / count
    products.baddbmm_(offset[:, :, None], offset[:, None, :], alpha=-count).div_(max(1, count - 1))
    products.diagonal(dim1=1, dim2=2).add_(regularisation)
    whitening = np.empty(products.shape, dtype=np.float32)
    identity = torch.eye(products.shape[1], dtype=products.dtype, device=products.device)
    step = max(1, BLOCK // identity.numel())
    for start in range(0, len(products), step):
        lower = torch.linalg.cholesky(products[start : start + step])
        solved = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
        whitening[start : start + step] = solved.float().cpu().numpy()
    return Gaussians((first + offset).float().cpu().numpy(), whitening), count


def mahalanobis(embedding: torch.Tensor, mean: torch.Tensor, whitening: torch.Tensor) -> torch.Tensor:
    """Return the distance of each place of an image to its Gaussian, (P,) float32 >= 0 (equation 2).

    Args:
        embedding: (P, D) of the image.
        mean: (P, D) of ``Gaussians``.
        whitening: (P, D, D) of it.
    """
    distances: torch.Tensor = (whitening @ (embedding - mean)[:, :, None])[:, :, 0].norm(dim=1)
    return distances
