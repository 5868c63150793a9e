"""Sums over the images of two runs whose answers are swapped: exact, and in memory that images do not add to.

Counts are multiplied with a block of permutations a few images at a time. Image scores have no counts of every image
at every threshold: images are put in the order of their ranks once, and what lies at or above a threshold is a running
sum of swaps. All but overlaps of regions, IoU of masks and values of images are whole numbers far below 2^53, whose
sums are the same in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.scoring.metrics.choices import ChoiceCounts
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.labels import Confusion, MaskCounts
from benchmark.scoring.metrics.pixel import ratio

IMAGES = 4096
"""Most images whose counts are held as floating-point numbers at a time."""
ENTRIES = 1 << 18
"""Most such counts of one name and run, images × thresholds: 2 MB."""
MOST_RANKS = 512
"""Most thresholds of image scores."""
PIECE = 255
"""Most swaps that are summed in one byte."""

Parts = Mapping[str, NDArray[Any]]
"""What every image adds, by name; the leading axis of each array is the images of a category, sorted by id."""
Sums = dict[str, NDArray[np.float64]]
"""Sums over images by name, (r,) or (r, K) for r permutations."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The sums of two runs over n images, and what swaps make of them."""

    n: int
    first: Sums
    second: Sums
    """Of either run as it is, () or (K,)."""
    moved: Callable[[NDArray[np.uint8]], Sums]
    """Permutations (r, n) to what they add to the sums of the first run and take from those of the second."""
    build: Callable[[Sums], Any]
    """Sums to what a metric is a function of."""

    def after(self, rows: NDArray[np.uint8]) -> tuple[Any, Any]:
        """Return what metrics are functions of, of either run after swaps (r, n), with r as leading axis."""
        moved = self.moved(rows)
        one = self.build({name: self.first[name] + moved[name] for name in moved})
        return one, self.build({name: self.second[name] - moved[name] for name in moved})


def exchange(first: Parts, second: Parts, source: str) -> Exchange:
    """Make ready to swap two runs over the same images.

    Args:
        first: parts of one run.
        second: those of the other.
        source: of the metrics, as ``swap.permuted``.
    """
    if source == "image_scores":
        return _by_ranks(first, second)
    if source == "pixels":
        return _by_images(first, second, partial(_floats, names=[n for n in first if n != "used"]), _pixel_sums)
    if source == "labels":
        return _by_images(first, second, _cells, lambda sums: Confusion(**sums))
    if source == "each_image":
        return _by_images(first, second, partial(_floats, names=["value", "defined"]), lambda sums: sums)
    if source == "choices":
        return _by_images(first, second, partial(_floats, names=["marks"]), lambda sums: ChoiceCounts.of(sums["marks"]))
    return _by_images(first, second, _mask_addends, lambda sums: sums)


def _by_images(first: Parts, second: Parts, addends: Callable[[Parts], Sums], build: Callable[[Sums], Any]) -> Exchange:
    """Multiply permutations with what images add, some images at a time.

    Args:
        first: parts of one run.
        second: those of the other.
        addends: parts of some images to what each of them adds, (images,) or (images, K).
        build: as ``Exchange``.
    """
    n = first["used"].size
    widest = max(int(np.prod(part.shape[1:])) for part in first.values())
    step = max(1, min(IMAGES, ENTRIES // max(1, widest)))

    def added() -> Iterator[tuple[slice, Sums, Sums]]:
        for start in range(0, max(1, n), step):
            images = slice(start, start + step)
            one, two = (addends({name: part[images] for name, part in run.items()}) for run in (first, second))
            yield images, one, two
            mapped.let_go(*first.values(), *second.values())

    def gaps() -> Iterator[tuple[slice, Sums]]:
        return ((images, {name: two[name] - one[name] for name in one}) for images, one, two in added())

    totals: tuple[Sums, Sums] = ({}, {})
    for _, *both in added():
        for sums, each in zip(totals, both, strict=True):
            sums |= {name: sums.get(name, 0.0) + values.sum(axis=0) for name, values in each.items()}
    held = list(gaps()) if n <= step else None

    def moved(rows: NDArray[np.uint8]) -> Sums:
        sums: Sums = {name: np.zeros((len(rows), *np.shape(total))) for name, total in totals[0].items()}
        for images, gap in held or gaps():
            floating = rows[:, images].astype(np.float64)
            for name, values in gap.items():
                sums[name] += np.tensordot(floating, values, axes=1) if held else _product(floating, values)
        return sums

    return Exchange(n=n, first=totals[0], second=totals[1], moved=moved, build=build)


def _product(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply (r, n) with (n, …), of which most images may be zero: those without a defect."""
    busy = values.reshape(len(values), -1).any(axis=1)
    if np.count_nonzero(busy) * 2 > busy.size:
        return np.tensordot(rows, values, axes=1)
    return np.tensordot(rows[:, busy], values[busy], axes=1)


def _by_ranks(first: Parts, second: Parts) -> Exchange:
    """Sum swaps of images in the order of their ranks."""
    grid = _thresholds(first, second)
    runs = [_Ranked.of(run, grid) for run in (first, second)]
    n = first["used"].size
    everyone = np.ones((1, n), dtype=np.uint8)
    totals = [{name: values[0] for name, values in run.sums(everyone).items()} for run in runs]

    def moved(rows: NDArray[np.uint8]) -> Sums:
        one, two = (run.sums(rows) for run in runs)
        return {name: two[name] - one[name] for name in one}

    return Exchange(n=n, first=totals[0], second=totals[1], moved=moved, build=_pixel_sums)


@dataclass(frozen=True, kw_only=True)
class _Falling:
    """Images of one class in falling order of their ranks."""

    order: NDArray[np.intp]
    """(m,) their places."""
    edges: NDArray[np.intp]
    """Ends of pieces of that order, from 0 to m."""
    at_or_above: NDArray[np.intp]
    above: NDArray[np.intp]
    """(K,) how many pieces lie at or above a threshold, and above it."""

    @classmethod
    def of(cls, rank: NDArray[Any], chosen: NDArray[np.bool_], grid: NDArray[np.float64]) -> _Falling:
        places = np.flatnonzero(chosen)
        falling = -rank[places].astype(np.float64)
        by_rank = np.argsort(falling, kind="stable")
        ends = [np.searchsorted(falling[by_rank], -grid, side=side) for side in ("right", "left")]
        edges = np.unique(np.concatenate((np.arange(0, places.size, PIECE), [0, places.size], *ends)))
        at_or_above, above = (np.searchsorted(edges, end) for end in ends)
        return cls(order=places[by_rank], edges=edges, at_or_above=at_or_above, above=above)

    def running(self, rows: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Sum permutations (r, n) from the highest rank down to each edge, (r, edges)."""
        sums = np.zeros((len(rows), self.edges.size))
        if self.order.size:
            # take keeps the axes in order, which rows[:, order] does not: sums would be ten times slower
            pieces = np.add.reduceat(np.take(rows, self.order, axis=1), self.edges[:-1], axis=1, dtype=np.uint8)
            np.cumsum(pieces, axis=1, dtype=np.float64, out=sums[:, 1:])
        return sums


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """Images of one run in the order of their ranks."""

    bad: _Falling
    good: _Falling

    @classmethod
    def of(cls, parts: Parts, grid: NDArray[np.float64]) -> _Ranked:
        bad, used = parts["defective"], parts["used"]
        return cls(bad=_Falling.of(parts["rank"], bad & used, grid), good=_Falling.of(parts["rank"], ~bad & used, grid))

    def sums(self, rows: NDArray[np.uint8]) -> Sums:
        """Sum what images add where permutations (r, n) are 1."""
        bad, good = self.bad.running(rows), self.good.running(rows)
        return {
            "tp": np.take(bad, self.bad.at_or_above, axis=1),
            "fp": np.take(good, self.good.at_or_above, axis=1),
            "fp_above": np.take(good, self.good.above, axis=1),
            "n_pos": bad[:, -1],
            "n_neg": good[:, -1],
        }


def _thresholds(first: Parts, second: Parts) -> NDArray[np.float64]:
    """Ranks of defective images in either run, descending, at most so many that a permutation stays cheap."""
    both = np.concatenate([p["rank"][p["defective"] & p["used"]] for p in (first, second)]).astype(np.float64)
    grid = np.unique(both)[::-1]
    return grid if grid.size <= MOST_RANKS else grid[np.linspace(0, grid.size - 1, MOST_RANKS).astype(int)]


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


def _cells(parts: Parts) -> Sums:
    called, bad, used = parts["called"].astype(bool), parts["defective"].astype(bool), parts["used"]
    cells = {"tp": called & bad, "fp": called & ~bad, "fn": ~called & bad, "tn": ~called & ~bad}
    return {name: (cell & used).astype(np.float64) for name, cell in cells.items()}


def _mask_addends(parts: Parts) -> Sums:
    counts = MaskCounts(tp=parts["tp"], fp=parts["fp"], n_pos=parts["n_pos"])
    marked = (counts.n_pos > 0).astype(np.float64)
    iou = np.nan_to_num(ratio(counts.tp, counts.n_pos + counts.fp)) * marked
    return {**_floats(parts, ["tp", "fp", "n_pos"]), "iou": iou, "marked": marked}
