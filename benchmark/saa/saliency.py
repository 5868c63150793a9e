"""Visual saliency: how unlike the rest of the image, or the other objects, each place is.

Both modes compare features of a convolutional network by cosine. The feature of a place is the concatenation of
several levels, the coarse ones repeated to the finest grid, so a dot product is a sum over levels, and the products
of the coarse levels are computed once per coarse place: a quarter of the work of multiplying the long vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Neighbours = Literal["farthest", "nearest"]
COLUMNS = 8192
"""Places that are compared with at a time between objects; it bounds memory and does not change results."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Feature maps of one image, finest first, every next one of half the side; values >= 0."""

    maps: tuple[torch.Tensor, ...]
    """(C_l, S / 2^l, S / 2^l) float32 each."""

    def __post_init__(self) -> None:
        side = self.side
        for number, level in enumerate(self.maps):
            if tuple(level.shape[1:]) != (side >> number, side >> number) or side % (1 << number):
                raise ValueError(f"level {number} is {tuple(level.shape)}, the finest one {tuple(self.maps[0].shape)}")

    @property
    def side(self) -> int:
        """Side of the finest grid, S."""
        return int(self.maps[0].shape[-1])

    def cells(self, places: torch.Tensor, level: int) -> torch.Tensor:
        """Return which cell of a level each place (row-major number on the finest grid) lies in."""
        row, column = places // self.side, places % self.side
        return (row >> level) * (self.side >> level) + (column >> level)

    def parents(self, cells: torch.Tensor, level: int) -> torch.Tensor:
        """Return which cell of the next level each cell of a level lies in."""
        side = self.side >> level
        return (cells // side >> 1) * (side >> 1) + (cells % side >> 1)

    def norms(self) -> torch.Tensor:
        """Return the length of each place's whole feature, (S * S,), at least 1e-12."""
        import torch

        places = torch.arange(self.side**2, device=self.maps[0].device)
        squares = [level.square().sum(0).flatten()[self.cells(places, n)] for n, level in enumerate(self.maps)]
        return torch.stack(squares).sum(0).sqrt().clamp_min(1e-12)


def whole_image(levels: Levels, *, number: int, neighbours: Neighbours, factor: float) -> NDArray[np.float32]:
    """Return how far each place is from its farthest, or nearest, places of the same image.

    V(p) = factor * (1 - mean over q in P(p) of cos(F_p, F_q)), P(p) the ``number`` places with the smallest
    (``farthest``) or largest (``nearest``, p itself among them) cosine. The released code takes the 400 farthest
    with factor 0.5 (caoyunkang/Segment-Any-Anomaly:SAA/model.py, single_object_similarity); the AnomalyVLM paper
    writes the N most similar with factor 1 (IEEE TCYB 55(4), eq. 3).

    Args:
        levels: features of the image.
        number: size of P(p); all places where there are fewer.
        neighbours: which places are compared with.
        factor: of the distance.

    Returns:
        (S, S) float32 in [0, factor].
    """
    import torch

    places = torch.arange(levels.side**2, device=levels.maps[0].device)
    inverse = 1.0 / levels.norms()
    found = torch.empty_like(inverse)
    sign = 1.0 if neighbours == "farthest" else -1.0
    columns = [sign * column for column in _columns(levels, places, inverse)]
    for rows, products in _products(levels, places, columns):
        found[rows] = _mean_of_smallest(products, min(number, products.shape[1]))
    cosine = sign * found * inverse
    saliency: NDArray[np.float32] = (factor * (1.0 - cosine)).view(levels.side, levels.side).cpu().numpy()
    return saliency


def between_objects(levels: Levels, masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how unlike each place of an object is to the most similar place of the other objects.

    For object i and a place p in it: 0.5 * (1 - max over q of cos(F_p, F_q)), q over the places of the other
    objects that are not in object i, or 0.5 where there are none. Where objects overlap the largest value holds;
    places outside every object are 0 (caoyunkang/Segment-Any-Anomaly:SAA/model.py, visual_saliency_calculation).

    Args:
        levels: features of the image.
        masks: (N, S, S) bool, N >= 2, none empty.

    Returns:
        (S, S) float32 in [0, 0.5].
    """
    import torch

    device = levels.maps[0].device
    flat = masks.reshape(len(masks), -1)
    covered = np.flatnonzero(flat.any(axis=0))
    # Places in the same objects are one group: whether they count for object i is asked once a group.
    codes = np.packbits(flat[:, covered], axis=0).T
    groups, which = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    places = torch.from_numpy(covered[order]).to(device)
    ends = np.cumsum(np.bincount(which.ravel()))
    member = torch.from_numpy(np.unpackbits(groups, axis=1, count=len(masks)).astype(bool)).to(device)
    group = torch.from_numpy(np.sort(which.ravel())).to(device)
    inverse = 1.0 / levels.norms()
    # Features are not negative, so 0 stands for "none" as in the released code, which zeroes the object's own places.
    nearest = torch.zeros((len(masks), len(places)), device=device)
    position = torch.empty(levels.side**2, dtype=torch.int64, device=device)
    position[places] = torch.arange(len(places), device=device)
    for start in range(0, len(places), COLUMNS):
        chosen = places[start : start + COLUMNS]
        inside = group[start : start + COLUMNS]
        present = torch.unique_consecutive(inside)
        stops = [int(ends[g]) - start for g in present.tolist()]
        for rows, products in _products(levels, places.sort().values, _columns(levels, chosen, inverse)):
            starts = [0, *stops[:-1]]
            pieces = zip(starts, stops, strict=True)
            largest = torch.stack([products[:, a:b].amax(1) for a, b in pieces], dim=1)
            _update(nearest, position[rows], largest, own=member[group[position[rows]]], there=member[present])
    cosine = nearest * inverse[places]
    values = torch.where(member[group].T, 0.5 * (1.0 - cosine), 0.0).amax(0)
    saliency = torch.zeros(levels.side**2, device=device)
    saliency[places] = values
    return np.asarray(saliency.view(levels.side, levels.side).cpu().numpy(), dtype=np.float32)


def to_image(saliency: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a saliency map to an image of (H, W), bilinear."""
    import cv2

    return np.asarray(cv2.resize(saliency, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def to_grid(masks: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Bring masks, (N, H, W), to the finest feature grid, (N, side, side), by nearest neighbour."""
    import cv2

    small = [cv2.resize(m.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) for m in masks]
    return np.array(small, dtype=bool).reshape(len(masks), side, side)


def _update(
    nearest: torch.Tensor, rows: torch.Tensor, largest: torch.Tensor, *, own: torch.Tensor, there: torch.Tensor
) -> None:
    """Raise ``nearest`` (N, places) by the products of some rows with the groups of some columns.

    Args:
        rows: (R,) which places.
        largest: (R, G) largest product of each row with each group.
        own: (R, N) objects that hold each row.
        there: (G, N) objects that hold each group.
    """
    for number in own.any(0).nonzero().flatten().tolist():
        others = ~there[:, number]
        if not bool(others.any()):
            continue
        mine = own[:, number]
        best = largest[mine][:, others].amax(1)
        nearest[number, rows[mine]] = nearest[number, rows[mine]].maximum(best)


def _columns(levels: Levels, places: torch.Tensor, inverse: torch.Tensor) -> list[torch.Tensor]:
    """Per level the features of places divided by the length of their whole feature, (C_l, P)."""
    return [level.flatten(1)[:, levels.cells(places, n)] * inverse[places] for n, level in enumerate(levels.maps)]


def _products(
    levels: Levels, places: torch.Tensor, columns: Sequence[torch.Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (R,) places and their (R, P) dot products with the columns, strip by strip of the coarsest level.

    Args:
        places: ascending; rows of the products.
        columns: from ``_columns``.
    """
    import torch

    strip = levels.side << (len(levels.maps) - 1)
    edges = torch.arange(0, levels.side**2 + strip, strip, device=places.device)
    bounds = torch.searchsorted(places, edges).tolist()
    for a, b in itertools.pairwise(bounds):
        if a == b:
            continue
        rows = places[a:b]
        cells = [rows, *(torch.unique(levels.cells(rows, number)) for number in range(1, len(levels.maps)))]
        products = [
            level.flatten(1)[:, wanted].T @ column
            for level, wanted, column in zip(levels.maps, cells, columns, strict=True)
        ]
        for number in range(len(products) - 2, -1, -1):
            parents = torch.searchsorted(cells[number + 1], levels.parents(cells[number], number))
            products[number] += products[number + 1][parents]
        yield rows, products[0]


def _mean_of_smallest(values: torch.Tensor, number: int) -> torch.Tensor:
    """Mean of the smallest ``number`` values of each row, without sorting; ``values`` may be reordered."""
    import torch

    if values.device.type != "cpu":
        return values.topk(number, dim=1, largest=False, sorted=False).values.mean(1)
    array = values.numpy()
    if number < array.shape[1]:
        array.partition(number - 1, axis=1)
    return torch.from_numpy(array[:, :number].mean(axis=1))
