"""Synthetic score maps and region sets with ground truth, for tests and measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = (
    "random",
    "tied",
    "constant",
    "few_valued",
    "one_positive",
    "all_positive",
    "subnormal",
    "negative",
)


def small_pool(seed: int, kind: str, dtype: str, *, images: int | None = None) -> tuple[list[Any], list[Any]]:
    """Draw a few tiny score maps of one kind with masks that hold at least one defect pixel altogether."""
    rng = np.random.default_rng(seed)
    count = images or int(rng.integers(1, 5))
    shape = (int(rng.integers(3, 9)), int(rng.integers(3, 9)))
    maps, masks = [], []
    for _ in range(count):
        maps.append(_scores(rng, kind, shape).astype(dtype))
        if kind == "all_positive":
            masks.append(np.ones(shape, dtype=bool))
        elif kind == "one_positive":
            masks.append(np.zeros(shape, dtype=bool))
        else:
            masks.append(rng.random(shape) < rng.choice([0.0, 0.1, 0.5]))
    if not any(m.any() for m in masks):
        masks[0][int(rng.integers(shape[0])), int(rng.integers(shape[1]))] = True
    return maps, masks


def _scores(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    if kind == "constant":
        return np.full(shape, 0.25)
    if kind == "tied":
        return rng.integers(0, 4, shape) / 4.0
    if kind == "few_valued":
        drawn = np.zeros(shape)
        drawn[: shape[0] // 2, : shape[1] // 2] = rng.choice([0.25, 0.5, 0.75])
        return drawn
    if kind == "subnormal":
        return rng.integers(0, 50, shape) * 2.0**-149
    if kind == "negative":
        return rng.standard_normal(shape) * 10.0 - 5.0
    return rng.random(shape)


def ellipse(rng: np.random.Generator, height: int, width: int, smallest: float, largest: float) -> NDArray[np.bool_]:
    """Draw one ellipse, its area a share of the image between two limits (log-uniform)."""
    area = np.exp(rng.uniform(np.log(smallest), np.log(largest))) * height * width
    ratio = np.exp(rng.uniform(-0.7, 0.7))
    a = np.sqrt(area / np.pi * ratio)
    b = area / (np.pi * a)
    cy, cx = rng.uniform(0.15, 0.85) * height, rng.uniform(0.15, 0.85) * width
    t = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:height, 0:width]
    dx, dy = x - cx, y - cy
    inside = ((dx * np.cos(t) + dy * np.sin(t)) / a) ** 2 + ((-dx * np.sin(t) + dy * np.cos(t)) / b) ** 2
    return np.asarray(inside <= 1)


def _defects(rng: np.random.Generator, size: int) -> list[NDArray[np.bool_]]:
    if rng.uniform() >= 0.73:
        return []
    return [ellipse(rng, size, size, 0.002, 0.05) for _ in range(rng.integers(1, 4))]


def continuous(number: int, size: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Smoothed noise with blurred defects, min-max over the stack: nearly every score is distinct."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    maps, masks = np.empty((number, size, size), np.float32), np.zeros((number, size, size), np.uint8)
    for scores, mask in zip(maps, masks, strict=True):
        defects = _defects(rng, size)
        noise = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), 4)
        noise /= noise.std()
        for defect in defects:
            mask |= defect
            noise = noise + gaussian_filter(defect.astype(np.float32), 3) * rng.uniform(0.5, 4)
        scores[...] = noise
    maps -= maps.min()
    maps /= maps.max()
    return maps, masks


def few_valued(number: int, size: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Largest score of a few regions on a background of 0, as region pipelines draw maps."""
    rng = np.random.default_rng(seed)
    maps, masks = np.zeros((number, size, size), np.float32), np.zeros((number, size, size), np.uint8)
    for scores, mask in zip(maps, masks, strict=True):
        defects = _defects(rng, size)
        for defect in defects:
            mask |= defect
            if rng.uniform() < 0.75:
                moved = np.roll(np.roll(defect, rng.integers(-3, 4), 0), rng.integers(-3, 4), 1)
                np.maximum(scores, np.float32(rng.beta(4, 2)), out=scores, where=moved)
        for _ in range(rng.integers(3, 15)):
            region = ellipse(rng, size, size, 0.001, 0.05)
            np.maximum(scores, np.float32(rng.beta(2, 4)), out=scores, where=region)
    return maps, masks


def region_set(
    rng: np.random.Generator, size: int, *, distractors: tuple[int, int] = (10, 40)
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    """Draw a ground truth (H, W), overlapping regions (N, H, W) and their scores (N,)."""
    defects = _defects(rng, size)
    truth = np.zeros((size, size), dtype=bool)
    regions, scores = [], []
    for defect in defects:
        truth |= defect
        regions.append(np.roll(np.roll(defect, rng.integers(-4, 5), 0), rng.integers(-4, 5), 1))
        scores.append(rng.beta(4, 2))
    for _ in range(rng.integers(*distractors)):
        regions.append(ellipse(rng, size, size, 0.0005, 0.3))
        scores.append(rng.beta(2, 4))
    return truth, np.array(regions), np.array(scores, dtype=np.float32)
