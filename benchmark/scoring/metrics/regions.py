"""Region sets cut into atoms: disjoint cells of pixels that lie in the same regions.

An atom's score under any choice of regions is table arithmetic, so a sweep over area, top-K or score
rules never draws a map again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, MaskSet, Regions, combine_scores
from benchmark.core.text import counted
from benchmark.scoring.metrics.tables import ImageTable, component_shares, rescaled, weighted_table


@dataclass(frozen=True, kw_only=True)
class AtomTable:
    """The atoms of one mask set against one ground truth, with their pixel counts; plain arrays."""

    member: NDArray[np.bool_]
    """(A, R) whether atom a lies in region r; all-False is the background."""
    n_pos: NDArray[np.int64]
    """(A,) defect pixels of each atom at the evaluation size."""
    n_neg: NDArray[np.int64]
    """(A,) good pixels; ignored pixels are in neither."""
    overlap: NDArray[np.float64]
    """(A,) sum of 1 / (component area) over the defect pixels."""
    n_components: int
    """Connected components of the ground truth that have a pixel that counts."""

    def to_arrays(self) -> dict[str, NDArray[Any] | int]:
        """Return what ``from_arrays`` reads back: arrays and one integer, as a stage store holds them."""
        return {
            "member": np.packbits(self.member, axis=1),
            "n_regions": int(self.member.shape[1]),
            "n_pos": self.n_pos,
            "n_neg": self.n_neg,
            "overlap": self.overlap,
            "n_components": self.n_components,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> AtomTable:
        """Rebuild a table from ``to_arrays``."""
        regions = int(arrays["n_regions"])
        packed = np.asarray(arrays["member"], dtype=np.uint8)
        return cls(
            member=np.unpackbits(packed, axis=1, count=regions).astype(bool),
            n_pos=np.asarray(arrays["n_pos"], dtype=np.int64),
            n_neg=np.asarray(arrays["n_neg"], dtype=np.int64),
            overlap=np.asarray(arrays["overlap"], dtype=np.float64),
            n_components=int(arrays["n_components"]),
        )

    def scores(self, regions: Regions) -> NDArray[np.float32]:
        """Return each atom's score, (A,), by the rule of the regions; 0 where none of them holds it."""
        if regions.combine != "max":
            return combine_scores(self.member.T[regions.index], regions.scores, regions.combine)
        chosen = np.where(self.member[:, regions.index], regions.scores.astype(np.float32, copy=False), np.float32(0))
        largest: NDArray[np.float32] = chosen.max(axis=1, initial=np.float32(0))
        return largest

    def table(self, regions: Regions, *, components: bool = False, unit_range: bool = False) -> ImageTable:
        """Return the score table of the map that ``regions`` would draw.

        Args:
            regions: a selection of the mask set that the atoms were built from.
            components: also keep what AUPRO needs.
            unit_range: min-max the map first.
        """
        drawn = self.scores(regions)
        made = weighted_table(
            drawn,
            self.n_pos,
            self.n_neg,
            overlap=self.overlap if components else None,
            n_components=self.n_components if components else 0,
        )
        return rescaled(made, float(drawn.min()), float(drawn.max())) if unit_range else made


def build_atoms(masks: MaskSet, truth: GroundTruth) -> AtomTable:
    """Cut the regions of a mask set into atoms and count their pixels against the ground truth.

    The run-length codes are never expanded to masks: every run end toggles one bit of a code that is
    carried along the pixels, and equal codes are one atom.

    Args:
        masks: the mask set.
        truth: the ground truth at the evaluation size; where it differs from the masks' size the
            masks are sampled by nearest neighbour.
    """
    starts, codes = _segments(masks)
    distinct, which = _distinct_codes(codes)
    mask = np.ascontiguousarray(truth.mask)
    counted = mask if truth.ignore is None else mask & ~truth.ignore
    if mask.shape == masks.shape:
        total, inside = _native_cells(masks.shape, starts, which, counted, truth.ignore)
    else:
        total, inside = _sampled_cells(masks.shape, starts, which, counted, truth.ignore)
    shares, n_components = component_shares(mask, truth.ignore)
    number = distinct.shape[0]
    n_pos = np.bincount(inside, minlength=number)
    member = np.unpackbits(distinct.astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, : len(masks)]
    return AtomTable(
        member=member.astype(bool),
        n_pos=n_pos.astype(np.int64),
        n_neg=np.pad(total, (0, number - total.size)).astype(np.int64) - n_pos,
        overlap=np.bincount(inside, weights=shares, minlength=number).astype(np.float64),
        n_components=n_components,
    )


def _native_cells(
    shape: tuple[int, int],
    starts: NDArray[np.int64],
    which: NDArray[np.int64],
    mask: NDArray[np.bool_],
    ignore: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each atom, and the atom of every defect pixel in row-major order, from the stretches alone."""
    height, width = shape

    def cells(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        row, column = np.divmod(np.flatnonzero(chosen), width)
        return which[np.searchsorted(starts, column * height + row, side="right") - 1]

    # float64 sums of whole numbers are exact up to 2^53 pixels
    total = np.bincount(which, weights=np.diff(starts, append=height * width)).astype(np.int64)
    if ignore is not None:
        total -= np.bincount(cells(ignore), minlength=total.size)
    return total, cells(mask)


def _sampled_cells(
    shape: tuple[int, int],
    starts: NDArray[np.int64],
    which: NDArray[np.int64],
    mask: NDArray[np.bool_],
    ignore: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As ``_native_cells``, from a drawn map of atom numbers that is sampled by nearest neighbour."""
    import cv2

    height, width = shape
    # float32 holds atom numbers up to 2^24 and is a type that OpenCV resizes
    lengths = np.diff(starts, append=height * width)
    drawn = np.repeat(which.astype(np.float32), lengths).reshape(width, height).T
    sampled = cv2.resize(drawn, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_NEAREST).astype(np.int64)
    return np.bincount(sampled.ravel() if ignore is None else sampled[~ignore]), sampled[mask]


def checked_regions(regions: Regions, shape: tuple[int, ...], where: str) -> Regions:
    """Return the regions as they are, or raise DataError naming what cannot be scored."""
    if tuple(regions.masks.shape) != tuple(shape):
        raise DataError(f"{where}: the region masks are {regions.masks.shape}, the ground truth {tuple(shape)}")
    if regions.index.shape != regions.scores.shape or regions.index.ndim != 1:
        raise DataError(f"{where}: {regions.index.shape} region indices for {regions.scores.shape} scores")
    if regions.index.size and not (regions.index.min() >= 0 and regions.index.max() < len(regions.masks)):
        raise DataError(f"{where}: a region index lies outside the {counted(len(regions.masks), 'mask')} of the set")
    if not (np.isfinite(regions.scores).all() and (regions.scores >= 0).all()):
        raise DataError(f"{where}: region scores must be finite and not negative")
    return regions


def run_ends(codes: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decode compressed COCO run-length codes to the column-major pixels at which their runs end.

    A code is a string of numbers in groups of 5 bits, least significant group first; bit 5 says that more follow.
    The first three run lengths stand as they are, every later one as the difference to the one before the
    last (cocodataset/cocoapi:common/maskApi.c, rleFrString). Runs alternate, background first.

    Args:
        codes: one per mask; all are decoded together.

    Returns:
        (E,) end of every run; (E,) the mask it belongs to.
    """
    groups = np.frombuffer(b"".join(codes), dtype=np.uint8).astype(np.int64) - 48
    if groups.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    last = np.flatnonzero((groups & 0x20) == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    length = last - first + 1
    place = np.arange(groups.size) - np.repeat(first, length)
    runs = np.add.reduceat((groups & 0x1F) << (5 * place), first)
    # the sign bit of the last group extends to the left
    runs -= np.where(groups[last] & 0x10, np.int64(1) << (5 * length), 0)
    owner = np.searchsorted(np.cumsum([len(c) for c in codes]), first, side="right")
    rank = np.arange(runs.size) - np.searchsorted(owner, owner, side="left")
    # odd runs of a mask sum up among themselves, even ones too, but for the first, which stands alone
    chain = np.where(rank == 0, 0, 1 + rank % 2)
    order = np.lexsort((chain, owner))
    runs[order] = _restarted_sum(runs[order], owner[order] * 3 + chain[order])
    return _restarted_sum(runs, owner), owner


def _restarted_sum(values: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Running sum that starts anew wherever ``group`` changes."""
    sums = np.cumsum(values)
    begin = np.searchsorted(group, group, side="left")
    return sums - (sums[begin] - values[begin])


def _segments(masks: MaskSet) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Column-major stretches in which no mask begins or ends: (S,) first pixels and (S, words) membership codes."""
    size = masks.shape[0] * masks.shape[1]
    words = max(1, -(-len(masks) // 64))
    ends, owner = run_ends(masks.counts)
    position = np.concatenate((np.zeros(1, dtype=np.int64), ends))
    toggles = np.zeros((position.size, words), dtype=np.uint64)
    toggles[np.arange(1, position.size), owner // 64] = np.uint64(1) << (owner % 64).astype(np.uint64)
    order = np.argsort(position, kind="stable")
    position, codes = position[order], np.bitwise_xor.accumulate(toggles[order], axis=0)
    # of several run ends at one pixel the last code holds; those at the very end hold nowhere
    kept = np.append(position[1:] != position[:-1], True) & (position < size)
    return position[kept], codes[kept]


def _distinct_codes(codes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    if codes.shape[1] == 1:
        values, which = np.unique(codes[:, 0], return_inverse=True)
        return values[:, None], which
    distinct, which = np.unique(codes, axis=0, return_inverse=True)
    return distinct, which.ravel()
