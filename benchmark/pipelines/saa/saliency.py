"""Visual saliency: how unlike the rest of the image, or the other objects, each place is.

Both modes compare features of a convolutional network by cosine (benchmark/pipelines/saa/levels.py multiplies them).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.pipelines.saa.levels import Columns, Levels, dot_products

if TYPE_CHECKING:
    import torch

Neighbours = Literal["farthest", "nearest"]
ROWS, COLUMNS = 1024, 8192
"""Places that are compared at a time between objects; it bounds memory and does not change results."""


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
    columns = Columns.of(levels, places, sign * inverse)
    # One strip of the coarsest level at a time: its cells are then computed once, for all places in them.
    for rows in torch.split(places, levels.side << (len(levels.maps) - 1)):
        products = dot_products(levels, rows, columns)
        found[rows] = _mean_of_smallest(products, min(number, products.shape[1]))
    cosine = sign * found * inverse
    saliency: NDArray[np.float32] = (factor * (1.0 - cosine)).view(levels.side, levels.side).cpu().numpy()
    return saliency


def mean_squared_distance(features: torch.Tensor, *, number: int) -> NDArray[np.float32]:
    """Return each place's mean squared distance to its nearest places of the same image, itself among them.

    V(p) = mean over q in P(p) of |F_p - F_q|^2, P(p) the ``number`` nearest places
    (TArdelean/AnomalyLocalizationFCA:sc_methods.py, sc_aota, after Aota et al., WACV 2023).

    Args:
        features: (C, h, w) float32.
        number: size of P(p); all places where there are fewer.

    Returns:
        (h, w) float32, >= 0.
    """
    import torch

    rows = features.flatten(1).T
    rows = rows - rows.mean(0)  # distances stay the same, and less is lost where long products cancel
    squares = rows.square().sum(1)
    found = torch.empty_like(squares)
    step = max(1, ROWS // len(rows))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        distances = (squares[part, None] + squares[None] - 2.0 * (rows[part] @ rows.T)).clamp_min_(0)
        found[part] = _mean_of_smallest(distances, min(number, len(rows)))
    return np.asarray(found.view(features.shape[1:]).cpu().numpy(), dtype=np.float32)


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
    codes, which = np.unique(np.packbits(flat[:, covered], axis=0).T, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    places = torch.from_numpy(covered[order]).to(device)
    ends = np.cumsum(np.bincount(which.ravel()))
    member = torch.from_numpy(np.unpackbits(codes, axis=1, count=len(masks)).astype(bool)).to(device)
    inverse = 1.0 / levels.norms()
    # Features are not negative, so 0 stands for "none" as in the released code, which zeroes the object's own places.
    nearest = torch.zeros((len(masks), len(places)), device=device)
    for left in range(0, len(places), COLUMNS):
        right = min(left + COLUMNS, len(places))
        columns = Columns.of(levels, places[left:right], inverse[places[left:right]])
        for start, stop, after in _row_blocks(ends):
            first = max(left, after)
            if first >= right:
                continue
            rows = places[start:stop]
            products = dot_products(levels, rows, columns.behind(first - left))
            products *= inverse[rows][:, None]
            _update(nearest, products, rows=(start, stop), columns=(first, right), ends=ends, member=member)
            _update(nearest, products.T, rows=(first, right), columns=(start, stop), ends=ends, member=member)
    inside = member[torch.from_numpy(np.sort(which.ravel())).to(device)].T
    saliency = torch.zeros(levels.side**2, device=device)
    saliency[places] = torch.where(inside, 0.5 * (1.0 - nearest), 0.0).amax(0)
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


def _row_blocks(ends: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Cut places that lie group by group into blocks of rows.

    Products are symmetric, so each block is multiplied with what comes after it only; and places of one group are
    never compared with each other, so a block of one group is multiplied with the groups behind.

    Args:
        ends: where each group ends.

    Yields:
        First row, row behind the last, and the first column to multiply with.
    """
    start = 0
    while start < ends[-1]:
        group = int(np.searchsorted(ends, start, side="right"))
        if ends[group] - start >= ROWS:
            yield start, start + ROWS, int(ends[group])
            start += ROWS
            continue
        # small groups share a block
        last = int(np.searchsorted(ends, start + ROWS, side="right")) - 1
        stop = int(ends[max(last, group)])
        yield start, stop, int(ends[group]) if last <= group else start
        start = stop


def _update(
    nearest: torch.Tensor,
    products: torch.Tensor,
    *,
    rows: tuple[int, int],
    columns: tuple[int, int],
    ends: NDArray[np.int64],
    member: torch.Tensor,
) -> None:
    """Raise ``nearest`` (N, places) at some rows by their products with some columns.

    Args:
        products: (R, C) cosines.
        rows, columns: first place and place behind the last.
        ends: where each group ends.
        member: (G, N) objects that hold each group.
    """
    import torch

    groups, cuts = _groups(ends, *columns)
    largest = torch.stack([products[:, a:b].amax(1) for a, b in itertools.pairwise(cuts)], dim=1)
    own, borders = _groups(ends, *rows)
    for group, (a, b) in zip(own, itertools.pairwise(borders), strict=True):
        for number in member[group].nonzero().flatten().tolist():
            others = ~member[groups, number]
            if bool(others.any()):
                place = slice(rows[0] + a, rows[0] + b)
                nearest[number, place] = nearest[number, place].maximum(largest[a:b, others].amax(1))


def _groups(ends: NDArray[np.int64], start: int, stop: int) -> tuple[list[int], list[int]]:
    """Return which groups some neighbouring places belong to, and where each begins and ends among them."""
    first, last = (int(np.searchsorted(ends, place, side="right")) for place in (start, stop - 1))
    cuts = [0, *(int(end) - start for end in ends[first:last]), stop - start]
    return list(range(first, last + 1)), cuts


def _mean_of_smallest(values: torch.Tensor, number: int) -> torch.Tensor:
    """Mean of the smallest ``number`` values of each row, without sorting; ``values`` may be reordered."""
    import torch

    if values.device.type != "cpu":
        return values.topk(number, dim=1, largest=False, sorted=False).values.mean(1)
    array = values.numpy()
    if number < array.shape[1]:
        array.partition(number - 1, axis=1)
    return torch.from_numpy(array[:, :number].mean(axis=1))
