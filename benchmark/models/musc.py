"""MuSc's maths: images without labels score each other; normal patches recur, defects do not (2401.16753)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.models.runtime import one_thread_each

if TYPE_CHECKING:
    import torch


def neighbourhood_vectors(maps: Sequence[torch.Tensor], *, size: int) -> tuple[torch.Tensor, ...]:
    """Return the patches of each feature map, averaged over their neighbourhood (LNAMD, section 3.2).

    Each map is normalised over all its values; each patch becomes the mean of the ``size`` x ``size`` ones around it,
    those outside the image being 0, and is brought to length 1. Maps of another grid are brought to that of the first
    by bilinear interpolation (xrli-U/MuSc:models/modules/_LNAMD.py).

    Args:
        maps: (C, h, w) float32 of each layer; the channels may differ.
        size: odd; 1: the patches alone.

    Returns:
        (h * w, C) of each layer, h and w of the first one.
    """
    from torch.nn import functional as F

    found = []
    for layer in maps:
        level = F.layer_norm(layer, layer.shape)[None]
        if size > 1:
            level = F.avg_pool2d(level, size, stride=1, padding=size // 2)
        if level.shape[-2:] != maps[0].shape[-2:]:
            level = F.interpolate(level, maps[0].shape[-2:], mode="bilinear", align_corners=False)
        found.append(F.normalize(level[0].flatten(1).T, dim=1).contiguous())
    return tuple(found)


def interval_mean(distances: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the mean of the smallest distances of each patch to the other images (MSM, equation 5).

    Args:
        distances: (L, N) of each of L patches to the nearest patch of each of N other images.
        share: part of the N that is averaged, rounded down, one at least.

    Returns:
        (L,) float32.
    """
    number = max(1, int(distances.shape[1] * share))
    smallest = np.sort(np.partition(distances, number - 1, axis=1)[:, :number], axis=1)
    return np.asarray(smallest.mean(axis=1, dtype=np.float64), dtype=np.float32)


def mutual_scores(
    wanted: Mapping[str, Sequence[torch.Tensor]],
    others: Iterable[tuple[str, Sequence[torch.Tensor]]],
    *,
    sizes: Sequence[int],
    share: float,
) -> dict[str, NDArray[np.float32]]:
    """Return how little the patches of some images are like those of the other ones.

    Of the other images one at a time is held. The result does not depend on their order, nor on which images are
    wanted together, to the last bit: each pair is multiplied in the order of its names.

    Args:
        wanted: name to (C, h, w) feature maps of each layer; all images have the same shapes.
        others: every image of the set with its name, the wanted ones among them; a name may occur several times.
        sizes: of the neighbourhoods (r of the paper); scores are averaged over layers and sizes.
        share: see ``interval_mean``.

    Returns:
        Name to (h * w,) float32 in [0, 2]; a wanted image is compared with each other occurrence in the set.
    """
    import torch

    def patches(maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [vector for size in sizes for vector in neighbourhood_vectors(maps, size=size)]

    nearest: dict[str, list[torch.Tensor]] = {name: [] for name in wanted}
    met: set[str] = set()
    with one_thread_each() as pool, torch.inference_mode():
        own = dict(zip(wanted, pool.map(patches, wanted.values()), strict=True))
        for other, maps in others:
            vectors = own[other] if other in own else patches(maps)
            # An image is not compared with itself, but with its copies; a pair wanted both ways is multiplied once.
            itself = other in own and other not in met
            met.add(other)
            names = [name for name in own if not itself or name < other]
            compared = pool.map(partial(_compare, other, vectors), names, [own[name] for name in names])
            for name, (of_name, of_other) in zip(names, compared, strict=True):
                nearest[name].append(of_name)
                if itself:
                    nearest[other].append(of_other)
        found = pool.map(lambda rows: _scores(torch.stack(rows).cpu().numpy(), share), nearest.values())
        return dict(zip(nearest, found, strict=True))


def _compare(
    other: str, vectors: Sequence[torch.Tensor], name: str, mine: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine of each patch to the most similar one of the other image, of ``name`` and of ``other``.

    Both are (layers * sizes, L). The two are multiplied in the order of their names: bits may depend on the order.
    """
    import torch

    with torch.inference_mode():  # the mode belongs to the thread
        swap = other < name
        pairs = zip(vectors, mine, strict=True) if swap else zip(mine, vectors, strict=True)
        products = [left @ right.T for left, right in pairs]
        rows, columns = (torch.stack([product.amax(axis) for product in products]) for axis in (1, 0))
        return (columns, rows) if swap else (rows, columns)


def _scores(cosines: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Average over layers and sizes; ``cosines`` is (N, layers * sizes, L)."""
    distances = np.sqrt(np.maximum(2.0 - 2.0 * cosines, 0.0))
    parts = [interval_mean(np.ascontiguousarray(distances[:, part].T), share) for part in range(distances.shape[1])]
    return np.asarray(np.mean(parts, axis=0, dtype=np.float64), dtype=np.float32)


def rescore(
    scores: NDArray[np.float64], vectors: NDArray[np.float32], *, numbers: Sequence[int]
) -> NDArray[np.float64]:
    """Return image scores that lean on those of the most similar images (RsCIN, section 3.4).

    Scores are scaled to [0, 1]; each becomes the mean of those of its k most similar images, itself among them,
    weighed by similarity; the mean over all k (xrli-U/MuSc:models/modules/_RsCIN.py).

    Args:
        scores: (N,) of the images of one category.
        vectors: (N, D), one of each image, of length 1.
        numbers: the k; each at most N; with none the scores stay as they are.

    Returns:
        (N,) float64, in [0, 1] where similarities are positive; zeros where all scores are equal.
    """
    if not numbers:
        return scores
    spread = scores.max() - scores.min()
    if spread == 0:
        return np.zeros_like(scores)
    scaled = (scores - scores.min()) / spread
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.argsort(-similar, axis=1, kind="stable")
    found = []
    for number in numbers:
        nearest = order[:, : min(number, len(scores))]
        weights = np.take_along_axis(similar, nearest, axis=1)
        found.append((weights * scaled[nearest]).sum(axis=1) / weights.sum(axis=1))
    return np.asarray(np.mean(found, axis=0))


def parts_of(names: Sequence[str], *, most: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Split a set of images at random into parts of about equal size, in an order that is theirs alone.

    Args:
        names: contents (hashes) of the images; equal ones stay together.
        most: largest size of a part, where copies allow.
        seed: of the random split; labels play no part (the official code splits each kind of defect evenly).

    Returns:
        The parts, each sorted; the same ones whatever the order of ``names``.
    """
    count = -(-len(names) // most)
    shuffled = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    place = {name: number % count for number, name in enumerate(shuffled)}
    return tuple(tuple(sorted(name for name in names if place[name] == part)) for part in range(count))
