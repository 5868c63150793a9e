"""Image-swap permutation: whether two runs over the same images differ by more than chance.

If the runs are equally good, it does not matter which of them answered an image. So the two answers of a random half
of the images are swapped, again and again, and the observed difference is ranked among those that result. The test
holds its level at any number of images (E. S. Edgington and P. Onghena, Randomization Tests, 4th ed., 2007).
Scores of two runs have scales of their own: swapped are counts at thresholds that call equal shares of all pixels, and
ranks of image scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.core.samples import evenly
from benchmark.scoring.metrics.exchange import Exchange, Parts, Sums, exchange
from benchmark.scoring.metrics.pixel import ratio
from benchmark.scoring.metrics.pool import GROUP, image_counts, in_groups
from benchmark.scoring.metrics.swap_draws import Swaps, blocks
from benchmark.scoring.metrics.tables import ImageTable

LEVELS = 128
"""Thresholds at which pixels are counted."""
CANDIDATES = 2048
"""Thresholds that those of pixels are chosen from."""
DRAWN = 8192
"""Most images that those are drawn from, spread evenly."""
HELD_BYTES = 1 << 20
"""Counts of a set of images up to this size stay in memory: a run has several of each category."""


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """A metric's difference of two runs, and what it is with their answers swapped at random."""

    observed: float
    permuted: NDArray[np.float64]
    """(R,) NaN where undefined."""

    @property
    def p(self) -> float:
        """Two-sided p-value, (1 + those as large) / (R + 1); an undefined difference counts as large."""
        large = ~(np.abs(self.permuted) < abs(self.observed) - 1e-12)
        return float((1 + np.count_nonzero(large)) / (1 + self.permuted.size))


def pixel_parts(tables: Sequence[ImageTable]) -> dict[str, NDArray[Any]]:
    """Count every image at thresholds that call the same shares of all pixels in any run, (n, ``LEVELS``).

    The shares rise in equal ratios, from the highest scores to every pixel. They do not look at the ground truth: a
    scale that did would tie the images of a run to its defects, and swaps would no longer be fair.
    """
    if not tables:
        return {}
    total = sum(t.n for t in tables)
    shares = np.geomspace(max(1e-5, 1.0 / total), 1.0, LEVELS)
    asked = evenly(tables, DRAWN)
    drawn = [t.score[_from_the_top(t, shares)] for group in in_groups(asked) for t in group]
    candidates = np.unique(np.concatenate(drawn))[::-1]
    if candidates.size > CANDIDATES:
        candidates = candidates[np.linspace(0, candidates.size - 1, CANDIDATES).astype(int)]
    called = sum(_at_or_above(t, candidates) for group in in_groups(tables) for t in group)
    place = np.searchsorted(called, shares * total * (1.0 + 1e-9), side="right") - 1
    return counted_parts(tables, candidates[np.maximum(place, 0)], blank=place < 0)


def _from_the_top(table: ImageTable, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the scores that so large shares of an image's pixels reach."""
    rank = np.minimum((shares * table.n).astype(np.int64), table.n - 1)
    if table.count is None:
        return table.score.size - 1 - rank
    reached = np.cumsum(table.count[::-1])
    return table.score.size - 1 - np.searchsorted(reached, rank, side="right")


def _at_or_above(table: ImageTable, thresholds: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels of an image at or above descending thresholds."""
    place = np.searchsorted(table.score, thresholds, side="left")
    if table.count is None:
        return np.asarray(table.score.size - place)
    below = np.concatenate(([0], np.cumsum(table.count)))
    return np.asarray(below[-1] - below[place])


def counted_parts(
    tables: Sequence[ImageTable],
    thresholds: NDArray[Any],
    *,
    strict: bool = False,
    ends: tuple[float, float] | None = None,
    blank: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[Any]]:
    """Count images at common thresholds as they are kept: whole numbers and float32, those of many images in files.

    Args:
        tables: one an image.
        thresholds: (K,) descending.
        strict: as ``image_counts``; ``ends`` likewise.
        ends: of min-max.
        blank: (K,) thresholds at which nothing counts: even the highest score calls more than their share.
    """
    names = ["tp", "fp", "n_pos", "n_neg"]
    if all(t.pos_overlap is not None for t in tables):
        names += ["overlap", "n_components"]
    whole = np.uint16 if max(t.n for t in tables) <= np.iinfo(np.uint16).max else np.uint32
    shapes = {name: (len(tables),) if name.startswith("n_") else (len(tables), thresholds.size) for name in names}
    kinds = {name: np.float32 if name == "overlap" else whole for name in names}
    found = {name: mapped.zeros(shape, kinds[name], held=HELD_BYTES) for name, shape in shapes.items()}
    done = 0
    for group in in_groups(tables):
        each = image_counts(group, thresholds, strict=strict, ends=ends)
        rows = slice(done, done + len(group))
        for name, kept in found.items():
            kept[rows] = getattr(each, name)
            if blank is not None and kept.ndim == 2:
                kept[rows, blank] = 0
        done += len(group)
        mapped.let_go(*found.values())
    return found


def score_parts(scores: NDArray[np.float64], defective: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Keep image scores as ranks in (0, 1], ties in the middle, and the labels."""
    import pandas as pd  # scipy.stats ranks too, and takes a second to import

    return {
        "rank": (pd.Series(scores).rank().to_numpy() / max(1, scores.size)).astype(np.float32),
        "defective": defective,
    }


def mean_parts(values: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Keep the value of each image, (n,), and where it is defined."""
    defined = np.isfinite(values)
    return {"value": np.where(defined, values, 0.0), "defined": defined}


def mean(sums: Sums) -> NDArray[np.float64]:
    """Return the mean of images' values from their sums."""
    return ratio(sums["value"], sums["defined"])


def spread_out(parts: Parts, used: Sequence[int], n: int) -> dict[str, NDArray[Any]]:
    """Give images that were left out parts that add nothing, and say which are ``used``, (n,) bool."""
    if len(used) == n:
        return {"used": np.ones(n, dtype=bool), **parts}
    places = np.asarray(used, dtype=np.int64)
    found: dict[str, NDArray[Any]] = {"used": np.isin(np.arange(n), places)}
    for name, values in parts.items():
        found[name] = mapped.zeros((n, *values.shape[1:]), values.dtype)
        for start in range(0, places.size, GROUP):
            found[name][places[start : start + GROUP]] = values[start : start + GROUP]
            mapped.let_go(found[name], values)
    return found


def permuted(
    first: Parts,
    second: Parts,
    functions: Mapping[str, Callable[[Any], Any]],
    *,
    source: str,
    swaps: Swaps | NDArray[np.uint8],
) -> dict[str, Swapped]:
    """Swap the images of two runs and evaluate their difference on every permutation.

    Args:
        first: parts of one run over a set of images.
        second: those of the other, over the same images.
        functions: metric name to its function of counts.
        source: ``pixels``, ``masks``, ``image_scores``, ``labels``, ``each_image`` or ``choices``.
        swaps: which images are swapped, drawn block by block, or given as (R, n) of 0 and 1.
    """
    return together([(exchange(first, second, source), functions)], swaps=swaps)


def together(
    exchanges: Sequence[tuple[Exchange, Mapping[str, Callable[[Any], Any]]]], *, swaps: Swaps | NDArray[np.uint8]
) -> dict[str, Swapped]:
    """Evaluate all metrics of two runs on every permutation, each block of which is drawn once.

    Args:
        exchanges: what swaps make of the sums of both runs, with the metrics that are functions of these, by name.
        swaps: as ``permuted``.
    """
    pieces: dict[str, list[NDArray[np.float64]]] = {name: [] for _, functions in exchanges for name in functions}
    for rows in blocks(swaps):
        for pair, functions in exchanges:
            a, b = pair.after(rows)
            for name, function in functions.items():
                gaps = np.asarray(function(a), dtype=np.float64) - np.asarray(function(b), dtype=np.float64)
                pieces[name].append(gaps)
    found = {}
    for pair, functions in exchanges:
        a, b = pair.after(np.zeros((1, pair.n), dtype=np.uint8))
        for name, function in functions.items():
            observed = float((np.asarray(function(a)) - np.asarray(function(b)))[0])
            found[name] = Swapped(observed=observed, permuted=np.concatenate([np.zeros(0), *pieces[name]]))
    return found


def mask_iou(sums: Sums) -> NDArray[np.float64]:
    """Return the mean IoU of the defective images' masks."""
    return ratio(sums["iou"], sums["marked"])


def mask_iou_pooled(sums: Sums) -> NDArray[np.float64]:
    """Return the IoU over all pixels together."""
    return np.where(sums["n_pos"] > 0, ratio(sums["tp"], sums["n_pos"] + sums["fp"]), np.nan)
