"""Slow and literal forms of the method's steps, to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def vectors(maps: Sequence[NDArray[np.float32]]) -> Floats:
    """Concatenated, normalised features of every place, (S * S, C)."""
    side = maps[0].shape[-1]
    whole = np.concatenate([m.repeat(side // m.shape[-1], 1).repeat(side // m.shape[-1], 2) for m in maps]).astype(
        float
    )
    flat = whole.reshape(whole.shape[0], -1).T
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def whole_image(maps: Sequence[NDArray[np.float32]], *, number: int, farthest: bool, factor: float) -> Floats:
    """Mean distance of every place to its most, or least, different places."""
    features = vectors(maps)
    side = maps[0].shape[-1]
    found = np.zeros(len(features))
    for i, feature in enumerate(features):
        distances = sorted((factor * (1 - features @ feature)).tolist(), reverse=farthest)
        found[i] = np.mean(distances[:number])
    return found.reshape(side, side)


def between_objects(maps: Sequence[NDArray[np.float32]], masks: NDArray[np.bool_]) -> Floats:
    """Distance of every place of an object to the most similar place of the others, object by object."""
    features = vectors(maps)
    side = maps[0].shape[-1]
    flat = masks.reshape(len(masks), -1)
    found = np.zeros((len(masks), side * side))
    for i, mask in enumerate(flat):
        emptied = np.where(mask[:, None], 0.0, features)
        others = np.concatenate([emptied[other] for j, other in enumerate(flat) if j != i])
        for place in np.flatnonzero(mask):
            found[i, place] = 0.5 * (1 - max(others @ features[place]))
    return found.max(axis=0).reshape(side, side)
