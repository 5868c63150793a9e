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
from benchmark.scoring.metrics.choices import ChoiceCounts
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.labels import Confusion, MaskCounts
from benchmark.scoring.metrics.pixel import ratio
from benchmark.scoring.metrics.pool import GROUP, image_counts, in_groups
from benchmark.scoring.metrics.resampling import ENTRIES
from benchmark.scoring.metrics.tables import ImageTable

LEVELS = 128
"""Thresholds at which pixels are counted."""
MOST_RANKS = 512
"""Most thresholds of image scores."""
CANDIDATES = 2048
"""Thresholds that those of pixels are chosen from."""
DRAWN = 8192
"""Most images that those are drawn from, spread evenly."""
ROWS = 256
"""Most permutations that are worked on at a time: a multiple of 4, so that drawing them so gives the same ones."""

Parts = Mapping[str, NDArray[Any]]
"""What every image adds, by name; the leading axis of each array is the images of a category, sorted by id."""


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
    found = {n: mapped.zeros(shape, np.float32 if n == "overlap" else whole) for n, shape in shapes.items()}
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
    first: Parts, second: Parts, functions: Mapping[str, Callable[[Any], Any]], *, source: str, swaps: NDArray[np.uint8]
) -> dict[str, Swapped]:
    """Swap the images of two runs and evaluate their difference on every permutation.

    Args:
        first: parts of one run over a set of images.
        second: those of the other, over the same images.
        functions: metric name to its function of counts.
        source: ``pixels``, ``masks``, ``image_scores``, ``labels``, ``each_image`` or ``choices``.
        swaps: (R, n) of 0 and 1, which images are swapped.
    """
    one, two, build = _ready(first, second, source)
    totals = {name: (one[name].sum(axis=0), two[name].sum(axis=0), two[name] - one[name]) for name in one}
    pieces: dict[str, list[NDArray[np.float64]]] = {name: [] for name in functions}
    still = np.zeros((1, swaps.shape[1]), dtype=np.uint8)
    step = max(1, min(ROWS, ENTRIES // max(1, swaps.shape[1])))
    for rows in (still, *(swaps[at : at + step] for at in range(0, swaps.shape[0], step))):
        moved = {name: np.tensordot(rows.astype(np.float64), gap, axes=1) for name, (_, _, gap) in totals.items()}
        mapped.let_go(swaps)
        a = build({name: total + moved[name] for name, (total, _, _) in totals.items()})
        b = build({name: total - moved[name] for name, (_, total, _) in totals.items()})
        for name, function in functions.items():
            pieces[name].append(np.asarray(function(a), dtype=np.float64) - np.asarray(function(b), dtype=np.float64))
    found = {name: np.concatenate(values) for name, values in pieces.items()}
    return {name: Swapped(observed=float(values[0]), permuted=values[1:]) for name, values in found.items()}


Sums = dict[str, NDArray[np.float64]]


def _ready(first: Parts, second: Parts, source: str) -> tuple[Sums, Sums, Callable[[Sums], Any]]:
    """The addends of both runs as float64, and what makes a metric's argument of their sums."""
    if source == "pixels":
        names = [name for name in first if name != "used"]
        return _floats(first, names), _floats(second, names), _pixel_sums
    if source == "image_scores":
        grid = _thresholds(first, second)
        return _score_addends(first, grid), _score_addends(second, grid), _pixel_sums
    if source == "labels":
        return _cells(first), _cells(second), lambda sums: Confusion(**sums)
    if source == "each_image":
        names = ["value", "defined"]
        return _floats(first, names), _floats(second, names), lambda sums: sums
    if source == "choices":
        return _floats(first, ["marks"]), _floats(second, ["marks"]), lambda sums: ChoiceCounts.of(sums["marks"])
    return _mask_addends(first), _mask_addends(second), lambda sums: sums


def _floats(parts: Parts, names: Sequence[str]) -> Sums:
    return {name: parts[name].astype(np.float64) for name in names}


def _pixel_sums(sums: Sums) -> Counts:
    fp = sums["fp"]
    before = np.concatenate((np.zeros_like(fp[..., :1]), fp[..., :-1]), axis=-1)
    return Counts(
        score=np.zeros(fp.shape[-1]),
        tp=sums["tp"],
        fp=fp,
        fp_above=sums.get("fp_above", before),
        n_pos=sums["n_pos"],
        n_neg=sums["n_neg"],
        overlap=sums.get("overlap"),
        n_components=sums.get("n_components"),
    )


def _thresholds(first: Parts, second: Parts) -> NDArray[np.float64]:
    """Ranks of defective images in either run, descending, at most so many that a permutation stays cheap."""
    both = np.concatenate([p["rank"][p["defective"] & p["used"]] for p in (first, second)]).astype(np.float64)
    grid = np.unique(both)[::-1]
    return grid if grid.size <= MOST_RANKS else grid[np.linspace(0, grid.size - 1, MOST_RANKS).astype(int)]


def _score_addends(parts: Parts, grid: NDArray[np.float64]) -> Sums:
    rank, bad, used = parts["rank"].astype(np.float64), parts["defective"], parts["used"]
    at, above = rank[:, None] >= grid, rank[:, None] > grid
    good, bad = ~bad & used, bad & used
    addends = {"tp": at & bad[:, None], "fp": at & good[:, None], "fp_above": above & good[:, None]}
    return _floats({**addends, "n_pos": bad, "n_neg": good}, [*addends, "n_pos", "n_neg"])


def _cells(parts: Parts) -> Sums:
    called, bad, used = parts["called"].astype(bool), parts["defective"].astype(bool), parts["used"]
    cells = {"tp": called & bad, "fp": called & ~bad, "fn": ~called & bad, "tn": ~called & ~bad}
    return {name: (cell & used).astype(np.float64) for name, cell in cells.items()}


def _mask_addends(parts: Parts) -> Sums:
    counts = MaskCounts(tp=parts["tp"], fp=parts["fp"], n_pos=parts["n_pos"])
    marked = (counts.n_pos > 0).astype(np.float64)
    iou = np.nan_to_num(ratio(counts.tp, counts.n_pos + counts.fp)) * marked
    return {**_floats(parts, ["tp", "fp", "n_pos"]), "iou": iou, "marked": marked}


def mask_iou(sums: Sums) -> NDArray[np.float64]:
    """Return the mean IoU of the defective images' masks."""
    return ratio(sums["iou"], sums["marked"])


def mask_iou_pooled(sums: Sums) -> NDArray[np.float64]:
    """Return the IoU over all pixels together."""
    return np.where(sums["n_pos"] > 0, ratio(sums["tp"], sums["n_pos"] + sums["fp"]), np.nan)
