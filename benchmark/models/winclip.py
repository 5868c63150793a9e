"""WinCLIP's arithmetic on window vectors: scores against texts and against normal images, spread over the patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.models.clip_windows import WindowVectors, window_places

HarmonicOf = Literal["abnormal", "normal"]
"""Of which probability harmonic means are taken."""
Mean = Literal["harmonic", "arithmetic"]
Fusion = Literal["sum", "mean", "harmonic"]
Floats = NDArray[np.float64]


def l2_normalise(vectors: NDArray[np.floating]) -> Floats:
    """Divide vectors, (..., E), by their length."""
    wide = np.asarray(vectors, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def abnormal(vectors: NDArray[np.floating], texts: Floats, *, temperature: float) -> Floats:
    """Probability of the abnormal text: softmax over (normal, abnormal) of cos / T, (...) (paper, eq. 1).

    Args:
        vectors: (..., E).
        texts: (2, E) unit vectors, normal and abnormal.
    """
    cosine = l2_normalise(vectors) @ texts.T
    return np.asarray(1.0 / (1.0 + np.exp((cosine[..., 0] - cosine[..., 1]) / temperature)))


def distance(vectors: NDArray[np.floating], memory: NDArray[np.floating]) -> Floats:
    """Half of 1 - cosine to the most similar vector of a memory, (N,), in [0, 1] (paper, eq. 4).

    Args:
        vectors: (N, E).
        memory: (M, E).
    """
    return np.asarray(0.5 * (1.0 - l2_normalise(vectors) @ l2_normalise(memory).T).min(axis=1))


def spread(values: Floats, *, side: int, size: int, mean: Mean) -> Floats:
    """Mean over the windows that cover each patch, (side * side,); a harmonic mean with a zero in it is zero.

    Args:
        values: (W,) of the windows of ``window_places``.
    """
    places = window_places(side, size)
    spoken = values if mean == "arithmetic" else _inverse(values)
    total: Floats = np.zeros(side * side)
    np.add.at(total, places.ravel(), np.repeat(spoken, places.shape[1]))
    number = np.bincount(places.ravel(), minlength=side * side)
    return np.asarray(total / number if mean == "arithmetic" else number * _inverse(total))


def text_map(
    windows: Sequence[NDArray[np.floating]],
    texts: Floats,
    *,
    sizes: Sequence[int],
    side: int,
    temperature: float,
    harmonic_of: HarmonicOf,
    image_score: float | None,
) -> Floats:
    """Zero-shot map on the patch grid, (side * side,).

    Each window's probability is spread to its patches, and the sizes are combined, by harmonic means: of the abnormal
    probability (zqhang/Accurate-WinCLIP-pytorch:reproduce_WinCLIP.py), or of the normal one, and then 1 - that
    (caoyunkang/WinClip:WinCLIP/model.py).

    Args:
        windows: per size (W, E).
        image_score: abnormal probability of the whole image, one more member of the mean; None: left out.
    """
    flip = harmonic_of == "normal"
    scores = [abnormal(vectors, texts, temperature=temperature) for vectors in windows]
    scores = [1.0 - s if flip else s for s in scores]
    maps = [spread(s, side=side, size=size, mean="harmonic") for s, size in zip(scores, sizes, strict=True)]
    if image_score is not None:
        maps.append(np.full(side * side, 1.0 - image_score if flip else image_score))
    combined = len(maps) * _inverse(np.sum([_inverse(one) for one in maps], axis=0))
    return 1.0 - combined if flip else combined


def reference_map(
    vectors: WindowVectors, memory: WindowVectors, *, sizes: Sequence[int], side: int, mean: Mean, slipped: bool
) -> Floats:
    """Few-shot map on the patch grid, (side * side,): the mean over patches and window sizes of ``distance``.

    Args:
        vectors: of one image (B = 1).
        memory: of the normal images.
        mean: over the windows that cover a patch.
        slipped: the first window of each size but the first is compared with the memory of the size before it
            (caoyunkang/WinClip:WinCLIP/model.py, calculate_visual_anomaly_score).
    """
    known = [_rows(windows) for windows in memory.windows]
    scores = [distance(own[0], other) for own, other in zip(vectors.windows, known, strict=True)]
    if slipped:
        for own, score, before in zip(vectors.windows[1:], scores[1:], known, strict=False):
            score[0] = distance(own[0, :1], before)[0]
    maps = [spread(score, side=side, size=size, mean=mean) for score, size in zip(scores, sizes, strict=True)]
    if vectors.patches is not None and memory.patches is not None:
        maps.append(distance(vectors.patches[0], _rows(memory.patches)))
    return np.asarray(np.mean(maps, axis=0))


def fuse(texts: Floats, references: Floats | None, fusion: Fusion) -> Floats:
    """Join the zero-shot and the few-shot map.

    ``harmonic`` is 1 / (1 / a + 1 / b), and takes the zero-shot map twice where there is no other, as released.
    """
    if fusion == "harmonic":
        return _inverse(_inverse(texts) + _inverse(texts if references is None else references))
    if references is None:
        return texts
    return texts + references if fusion == "sum" else (texts + references) / 2


def _rows(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    return vectors.reshape(-1, vectors.shape[-1])


def _inverse(values: Floats) -> Floats:
    """1 / values; infinity for 0, and 0 for infinity."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / values)
