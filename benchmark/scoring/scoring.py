"""One prediction against its ground truth under a protocol: what is kept of an image."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, Outcome, Prediction, Regions, Sample
from benchmark.scoring.metrics.each_image import SeenImage
from benchmark.scoring.metrics.regions import AtomTable, build_atoms, checked_regions
from benchmark.scoring.metrics.registry import MetricSpec
from benchmark.scoring.metrics.tables import (
    ImageTable,
    checked_mask,
    component_shares,
    dense_table,
    floating,
    minmax,
    weighted_table,
)
from benchmark.scoring.protocol import Protocol

AtomCache = Callable[[str, Callable[[], AtomTable]], AtomTable]
"""Given a key and a way to build the atoms, returns them, built or remembered."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Which parts of a prediction the chosen metrics look at."""

    tables: bool
    """Score tables of the pixels."""
    components: bool
    """Component overlaps, for AUPRO."""
    image_scores: bool = False
    """Image scores, which are the largest of the scored pixels where the prediction gives none."""
    each_image: tuple[MetricSpec, ...] = ()
    """Metrics that see each image whole, as no map is kept."""


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """What is kept of one image; no map."""

    sample: Sample
    outcome: Outcome
    message: str | None
    defective: bool
    """The image label under the protocol."""
    excluded: bool
    """A failed answer that the protocol leaves out."""
    in_pixels: bool
    """Whether the image's pixels enter the pixel metrics."""
    has_mask: bool = True
    """False: defective, and where is not known."""
    n_pixels: int
    n_defect_pixels: int
    table: ImageTable | None
    mask_tp: int | None
    mask_fp: int | None
    image_score: float | None
    label: bool | None
    rationale: str | None
    extra: Mapping[str, float | int | str | None]
    values: Mapping[str, float] = field(default_factory=dict)
    """Of the metrics of source ``each_image``, by name; NaN where undefined, none without an answer."""
    marks: NDArray[np.uint16] | None = None
    """(4, 8) answers to multiple-choice questions (``metrics.choices.marks``); None: it gave none."""


def score(
    sample: Sample,
    prediction: Prediction,
    truth: GroundTruth,
    *,
    protocol: Protocol,
    needs: Needs,
    atom_cache: AtomCache | None = None,
) -> ScoredImage:
    """Apply the protocol to one prediction.

    A failed, invalid or blocked answer is wrong in every pixel, so that nobody gains by an image left out: good pixels
    have the highest score and are inside its mask, defect pixels the lowest and outside. Where the protocol counts
    failures as good, it found nothing. Its image score and label are the opposite of the truth, or the label that the
    protocol gives it.

    Args:
        sample: the image.
        prediction: at the image's own size.
        truth: at the image's own size, read with the protocol's mask threshold and border policy.
        protocol: resolved for the dataset.
        needs: parts that no metric looks at are not computed.
        atom_cache: remembers atom tables between runs.

    Raises:
        DataError: sizes that differ, scores that are not finite, masks that are not binary; names the sample.
    """
    if prediction.score_map is not None and prediction.regions is not None:
        raise DataError(f"{sample.id}: the prediction has a score map and regions; give one of them")
    native = truth.mask.shape
    truth = replace(truth, mask=checked_mask(truth.mask, native, f"{sample.id}: ground truth"))
    resized = _truth_at(truth, protocol)
    counted = resized.mask if resized.ignore is None else resized.mask & ~resized.ignore
    n_pixels = counted.size - (0 if resized.ignore is None else int(np.count_nonzero(resized.ignore)))
    n_pos = int(np.count_nonzero(counted))
    from_mask = protocol.label_from != "folder" and truth.known
    defective = bool(truth.mask.any()) if from_mask else sample.defective
    ok = prediction.outcome == "ok"
    table: ImageTable | None = None
    n_called = 0 if ok or protocol.failures == "good" else n_pixels - n_pos
    if not ok:
        table = _of_a_failure(resized, n_pixels, n_pos, n_called, needs)
    elif needs.tables or (needs.image_scores and prediction.image_score is None):
        table = _table(prediction, resized, native, sample, protocol, needs, atom_cache)
    given = _mask(prediction, resized, native, sample) if ok else None
    tp, fp = _mask_counts(given, resized) if ok else (0, n_called)
    image_score, label = _answer(prediction, sample, protocol, table=table, defective=defective)
    values: dict[str, float] = {}
    if ok and needs.each_image:
        scores = _scores(prediction, resized, native, sample, protocol)
        seen = SeenImage(
            defective=defective,
            mask=resized.mask,
            ignore=resized.ignore,
            score_map=scores,
            image_score=image_score,
            label=label,
            marked=_cut(scores, protocol) if given is None else given,
        )
        values = {spec.name: float(spec.function(seen)) for spec in needs.each_image}
    return ScoredImage(
        sample=sample,
        outcome=prediction.outcome,
        message=prediction.message,
        defective=defective,
        excluded=not ok and protocol.failures == "exclude",
        in_pixels=truth.known and (protocol.include_good or defective),
        has_mask=truth.known,
        n_pixels=n_pixels,
        n_defect_pixels=n_pos,
        table=table if needs.tables else None,
        mask_tp=tp,
        mask_fp=fp,
        image_score=image_score,
        label=label,
        rationale=prediction.rationale,
        extra=dict(prediction.extra),
        values=values,
    )


def _answer(
    prediction: Prediction, sample: Sample, protocol: Protocol, *, table: ImageTable | None, defective: bool
) -> tuple[float | None, bool | None]:
    """The image score and the label."""
    if prediction.outcome != "ok":
        label = {"defective": True, "good": False}.get(protocol.failures, not defective)
        return math.inf if label else -math.inf, label
    image_score = prediction.image_score
    if image_score is None and not prediction.unscored:
        image_score = table.high if table is not None else largest(prediction)
    if image_score is not None and not math.isfinite(image_score):
        raise DataError(f"{sample.id}: the image score is {image_score}; it must be a finite number")
    return image_score, prediction.label


def _truth_at(truth: GroundTruth, protocol: Protocol) -> GroundTruth:
    if protocol.size is None or protocol.size == truth.mask.shape:
        return truth
    ignore = None if truth.ignore is None else _nearest(truth.ignore, protocol.size)
    return GroundTruth(mask=_nearest(truth.mask, protocol.size), ignore=ignore)


def _nearest(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    import cv2

    resized = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    inside: NDArray[np.bool_] = resized.view(np.bool_)
    return inside


def _table(
    prediction: Prediction,
    truth: GroundTruth,
    native: tuple[int, ...],
    sample: Sample,
    protocol: Protocol,
    needs: Needs,
    atom_cache: AtomCache | None,
) -> ImageTable | None:
    if prediction.regions is not None and (
        protocol.interpolation == "nearest" or (truth.mask.shape == native and protocol.interpolation != "cubic")
    ):
        regions = checked_regions(prediction.regions, native, sample.id)
        atoms = _atoms(regions, truth, atom_cache)
        return atoms.table(regions, components=needs.components, unit_range=protocol.per_image)
    scores = _scores(prediction, truth, native, sample, protocol)
    if scores is None:
        return None
    return dense_table(scores, truth.mask, ignore=truth.ignore, components=needs.components, where=sample.id)


def _scores(
    prediction: Prediction, truth: GroundTruth, native: tuple[int, ...], sample: Sample, protocol: Protocol
) -> NDArray[Any] | None:
    """The scores of map or regions at the size of ``truth``, (H, W) floating, normalised if that is by image."""
    per_image, cubic = protocol.per_image, protocol.interpolation == "cubic"
    if prediction.regions is not None:
        regions = checked_regions(prediction.regions, native, sample.id)
        scores: NDArray[Any] = regions.exact_map() if cubic else regions.score_map()
    elif prediction.score_map is not None:
        scores = prediction.score_map
        if scores.shape != native:
            raise DataError(f"{sample.id}: the score map is {scores.shape}, the image {native}; give it at image size")
    else:
        return None
    low, high = float(scores.min()), float(scores.max())
    if not (math.isfinite(low) and math.isfinite(high)):  # min-max and resizing would hide them
        raise DataError(f"{sample.id}: NaN or infinite scores")
    if cubic:
        scores = scores.astype(np.float64, copy=False)
    if per_image:
        scores = minmax(floating(scores, sample.id), low, high)
    if truth.mask.shape != native:
        scores = _resized(scores, truth.mask.shape, protocol.interpolation)
    return scores


def _resized(scores: NDArray[Any], size: tuple[int, ...], interpolation: str) -> NDArray[Any]:
    import cv2

    ways = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
    floating = scores if scores.dtype == np.float64 else scores.astype(np.float32, copy=False)
    resized: NDArray[Any] = cv2.resize(floating, (size[1], size[0]), interpolation=ways[interpolation])
    return resized


def _atoms(regions: Regions, truth: GroundTruth, atom_cache: AtomCache | None) -> AtomTable:
    if atom_cache is None:
        return build_atoms(regions.masks, truth)
    digest = hashlib.sha256(repr((regions.masks.key, truth.mask.shape)).encode())
    digest.update(np.packbits(truth.mask).tobytes())
    if truth.ignore is not None:
        digest.update(np.packbits(truth.ignore).tobytes())
    return atom_cache(digest.hexdigest(), lambda: build_atoms(regions.masks, truth))


def _of_a_failure(truth: GroundTruth, n_pixels: int, n_pos: int, n_called: int, needs: Needs) -> ImageTable | None:
    """Every pixel missed but ``n_called`` good ones, which have the highest score."""
    if not needs.tables or n_pixels == 0:
        return None
    shares, number = component_shares(truth.mask, truth.ignore) if needs.components else (np.zeros(0), 0)
    return weighted_table(
        np.array([-math.inf, math.inf], dtype=np.float32),
        np.array([n_pos, 0]),
        np.array([n_pixels - n_pos - n_called, n_called]),
        overlap=np.array([shares.sum(), 0.0]) if needs.components else None,
        n_components=number,
    )


def _mask(
    prediction: Prediction, truth: GroundTruth, native: tuple[int, ...], sample: Sample
) -> NDArray[np.bool_] | None:
    """The binary mask of a prediction at the size of ``truth``; None where it has none."""
    if prediction.mask is None:
        return None
    mask = checked_mask(prediction.mask, native, f"{sample.id}: predicted mask")
    return mask if truth.mask.shape == native else _nearest(mask, (truth.mask.shape[0], truth.mask.shape[1]))


def _mask_counts(mask: NDArray[np.bool_] | None, truth: GroundTruth) -> tuple[int, int] | tuple[None, None]:
    """Defect and good pixels inside the binary mask; None where there is none to count."""
    if mask is None:
        return None, None
    if truth.ignore is not None:
        mask = mask & ~truth.ignore
    tp = int(np.count_nonzero(mask & truth.mask))
    return tp, int(np.count_nonzero(mask)) - tp


def _cut(scores: NDArray[Any] | None, protocol: Protocol) -> NDArray[np.bool_] | None:
    """The map cut at the protocol's threshold; None where it has none, or scores get a range of their category."""
    if scores is None or protocol.iou_threshold is None or protocol.per_category:
        return None
    return np.asarray(scores >= floating(scores[:1], "").dtype.type(protocol.iou_threshold))


def largest(prediction: Prediction) -> float | None:
    """Return the largest score of the map or the regions of a prediction; None where it has neither."""
    if prediction.score_map is not None:
        return float(prediction.score_map.max())
    if prediction.regions is not None:
        if prediction.regions.combine != "max":
            return float(prediction.regions.score_map().max())
        covering = prediction.regions.masks.areas()[prediction.regions.index] > 0
        return float(prediction.regions.scores[covering].max(initial=0.0))
    return None
