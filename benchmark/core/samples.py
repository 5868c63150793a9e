"""The few types that everything passes on: Sample, Manifest, Regions, Prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.core.sample import AS_STORED, MaskFormat, Reading, Sample, Split
from benchmark.core.sample_columns import Samples

__all__ = [
    "AS_STORED", "Combine", "GroundTruth", "Manifest", "MaskFormat", "MaskSet", "Outcome", "Prediction", "Reading",
    "Regions", "Sample", "Split", "combine_exactly", "combine_scores", "evenly",
]  # fmt: skip

T = TypeVar("T")
Outcome = Literal["ok", "failed", "invalid", "blocked"]
Combine = Literal["max", "mean", "mean_with_one", "sum"]
"""How the scores of the regions that cover a pixel become one: their largest, their mean, their sum over one
more than their number (caoyunkang/Segment-Any-Anomaly:SAA/model.py), or their sum; 0 where no region covers it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The ordered samples of one dataset, split and category selection."""

    dataset: str
    samples: Sequence[Sample]
    """Kept in columns (``Samples``), whatever they are given as; each is made when it is asked for."""
    expected_test: int | None = None
    """How many test samples the card's selection has when the data is complete; None where no card says."""
    notes: tuple[str, ...] = ()
    """What a reader of the result must know: partial data, dropped duplicates, a synthetic source."""

    def __post_init__(self) -> None:
        """Put the samples into columns."""
        object.__setattr__(self, "samples", Samples.of(self.samples))

    @property
    def _columns(self) -> Samples:
        return Samples.of(self.samples)

    @property
    def test(self) -> Samples:
        """The samples that are predicted and scored."""
        return self._columns.of_split("test")

    @property
    def train(self) -> Samples:
        """The samples that a pipeline may learn from; they are never scored."""
        return self._columns.of_split("train")

    @property
    def categories(self) -> tuple[str, ...]:
        """Category names in order of first appearance."""
        return self._columns.categories

    @property
    def reading(self) -> Reading:
        """How every file of the dataset is read, and an image that a setting names beside them."""
        return replace(self.samples[0].reading, crop=None) if self.samples else AS_STORED

    @cached_property
    def fingerprint(self) -> str:
        """Hash over every sample's id, content hashes, label, category, group, split and questions (hex)."""
        digest = hashlib.sha256()
        for s in self.samples:
            row = (
                s.id,
                s.sha256,
                s.mask_sha256,
                s.mask_format,
                s.defective,
                s.category,
                s.defect_type,
                s.group,
                s.split,
            )
            digest.update(repr(row).encode())
            if s.questions is not None:
                digest.update(s.questions.sha256.encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The pixel truth of one image under one protocol."""

    mask: NDArray[np.bool_]
    """(H, W), True on defect pixels."""
    ignore: NDArray[np.bool_] | None = None
    """(H, W), True on pixels that no metric counts (the border class of a trimap)."""
    known: bool = True
    """False: the image is defective and nobody said where, so that its pixels enter no metric; ``mask`` is empty."""


@dataclass(frozen=True, kw_only=True)
class MaskSet:
    """Region masks of one image as COCO run-length codes."""

    shape: tuple[int, int]
    """(H, W) of every mask."""
    counts: tuple[bytes, ...]
    """Compressed COCO run-length code of each mask."""
    key: str
    """Content key: equal keys mean equal masks, so that what is derived from them can be reused."""

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def encode(cls, masks: NDArray[np.bool_]) -> MaskSet:
        """Encode masks, (N, H, W) bool; N may be 0."""
        from pycocotools import mask as coco

        n, height, width = masks.shape
        counts: tuple[bytes, ...] = ()
        if n:
            columns = np.asfortranarray(np.moveaxis(masks, 0, -1).astype(np.uint8))
            counts = tuple(code["counts"] for code in coco.encode(columns))
        return cls.from_counts((height, width), counts)

    @classmethod
    def from_counts(cls, shape: tuple[int, int], counts: Iterable[bytes]) -> MaskSet:
        """Wrap existing run-length codes of masks of one (H, W) shape."""
        codes = tuple(counts)
        digest = hashlib.sha256(repr(tuple(shape)).encode())
        for code in codes:
            digest.update(len(code).to_bytes(4, "little") + code)
        return cls(shape=(int(shape[0]), int(shape[1])), counts=codes, key=digest.hexdigest())

    def decode(self, index: Iterable[int] | None = None) -> NDArray[np.bool_]:
        """Decode all masks, or those of ``index`` in its order: (N, H, W) bool."""
        from pycocotools import mask as coco

        chosen = list(range(len(self)) if index is None else index)
        if not chosen:
            return np.zeros((0, *self.shape), dtype=bool)
        codes = [{"size": list(self.shape), "counts": self.counts[i]} for i in chosen]
        masks: NDArray[np.bool_] = np.moveaxis(coco.decode(codes), -1, 0).astype(bool)
        return masks

    def union(self, index: Iterable[int] | None = None) -> NDArray[np.bool_]:
        """Decode the union of all masks, or of those of ``index``: (H, W) bool, all False when there is none."""
        from pycocotools import mask as coco

        chosen = range(len(self)) if index is None else index
        codes = [{"size": list(self.shape), "counts": self.counts[i]} for i in chosen]
        return coco.decode(coco.merge(codes)).astype(bool) if codes else np.zeros(self.shape, dtype=bool)

    def areas(self) -> NDArray[np.int64]:
        """Number of pixels of each mask, (N,)."""
        from pycocotools import mask as coco

        codes = [{"size": list(self.shape), "counts": c} for c in self.counts]
        return np.asarray(coco.area(codes), dtype=np.int64) if codes else np.zeros(0, dtype=np.int64)


def combine_scores(covered: NDArray[np.bool_], scores: NDArray[np.float32], rule: Combine) -> NDArray[np.float32]:
    """Return ``combine_exactly`` in float32."""
    return combine_exactly(covered, scores, rule).astype(np.float32)


def combine_exactly(covered: NDArray[np.bool_], scores: NDArray[np.float32], rule: Combine) -> NDArray[np.float64]:
    """Return the score of each place from the scores of the regions that cover it.

    Args:
        covered: (K, ...) whether region k covers the place.
        scores: (K,) finite, >= 0.
        rule: see ``Combine``.

    Returns:
        (...) float64; a place's score does not depend on the other places, to the last bit. Sums are taken in the
        order of the regions.
    """
    places = covered.shape[1:]
    if rule == "max":
        largest = np.zeros(places, dtype=np.float64)
        for inside, score in zip(covered, scores, strict=True):
            np.maximum(largest, np.float64(score), out=largest, where=inside)
        return largest
    total = np.zeros(places, dtype=np.float64)
    number = np.full(places, 1.0 if rule == "mean_with_one" else 0.0)
    for inside, score in zip(covered, scores, strict=True):
        np.add(total, np.float64(score), out=total, where=inside)
        number += inside
    if rule == "sum":
        return total
    np.divide(total, number, out=total, where=number > 0)
    return total


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Scored regions of one image: a selection of a mask set, from which a score map is drawn.

    A pixel's score is taken from the regions that cover it by the rule ``combine``, and is 0 where none does.
    """

    masks: MaskSet
    index: NDArray[np.int64]
    """(K,) which masks of the set are used."""
    scores: NDArray[np.float32]
    """(K,) score of each used mask, >= 0."""
    combine: Combine = "max"

    def score_map(self) -> NDArray[np.float32]:
        """Draw the dense score map, (H, W) float32."""
        return self.exact_map().astype(np.float32)

    def exact_map(self) -> NDArray[np.float64]:
        """Draw the dense score map, (H, W) float64, as released codes keep it."""
        return combine_exactly(self.masks.decode(self.index), self.scores, self.combine)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a pipeline says of one image; parts that it does not say are None.

    At most one of ``score_map`` and ``regions`` is given; at native image size.
    """

    outcome: Outcome = "ok"
    message: str | None = None
    """Why the outcome is not ``ok``."""
    score_map: NDArray[np.float32] | NDArray[np.float64] | None = None
    """(H, W), larger is more defective, any finite range."""
    regions: Regions | None = None
    mask: NDArray[np.bool_] | None = None
    """(H, W) binary decision; IoU is taken from it."""
    image_score: float | None = None
    """Larger is more defective; None: the largest score of the map, if there is one."""
    unscored: bool = False
    """True: the image has no score, not even that of its map."""
    label: bool | None = None
    """True: the image is called defective."""
    rationale: str | None = None
    choices: tuple[str, ...] | None = None
    """For each of the sample's questions the letter that was chosen, or the outcome (not ``ok``) in its place; they
    count whatever the outcome of the image is."""
    extra: Mapping[str, float | int | str | None] = field(default_factory=dict)
    """Further per-image facts for the rows (fold, number of regions, tokens, cost)."""


def evenly(samples: Sequence[T], limit: int) -> Sequence[T]:
    """Return at most ``limit`` of some samples, spread evenly over the order."""
    if limit >= len(samples):
        return samples
    return tuple(samples[int(i * (len(samples) / limit))] for i in range(limit))
