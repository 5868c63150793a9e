"""Metric values of a set of scored images, with reasons where undefined and replicates for intervals."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from benchmark.core.text import counted
from benchmark.scoring.kept_images import KeptImage, tables_of
from benchmark.scoring.metrics import bootstrap
from benchmark.scoring.metrics.choices import ChoiceCounts, images_behind, lacking
from benchmark.scoring.metrics.counts import Counts, score_counts
from benchmark.scoring.metrics.intervals import Proportion, rarer_class
from benchmark.scoring.metrics.labels import MaskCounts, confusion
from benchmark.scoring.metrics.pixel import f_beta_threshold, ratio
from benchmark.scoring.metrics.pool import count_at, image_counts, pooled_counts, score_range
from benchmark.scoring.metrics.registry import MetricSpec
from benchmark.scoring.metrics.resampling import Multiplicities, of_images, product
from benchmark.scoring.metrics.tables import ImageTable, minmax, rescaled
from benchmark.scoring.metrics.variants import Grid
from benchmark.scoring.protocol import Protocol

Weights = Multiplicities | None
"""(R, n) multiplicities of the images in each resample; None where no interval is asked for."""
CountsMetric = Callable[[Counts], NDArray[np.float64]]
CURVE_POINTS = 256
"""Most thresholds of a curve that is kept to be drawn."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One metric over one set of images."""

    value: float
    """NaN where undefined."""
    reason: str | None
    n: int
    n_defective: int
    n_skipped: int
    threshold: float | None
    replicates: NDArray[np.float64] | None
    """(R,) the metric on every resample; None without resampling."""
    rarer: int = 0
    """Images of the rarer class among those that the value rests on."""
    proportions: tuple[Proportion, ...] = ()
    """Successes and trials of the proportions whose mean the value is, for Wilson's interval; empty for others."""
    curve: Counts | None = None
    """Pooled counts at up to ``CURVE_POINTS`` thresholds, to draw a curve; None where pixels are not pooled."""


def estimate(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], *, protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    """Compute metrics over a set of images.

    Args:
        images: in the order of the columns of ``weights``.
        specs: which metrics.
        protocol: resolved for the dataset.
        weights: (R, n) resamples.

    Returns:
        metric name to estimate, one for every spec.
    """
    ways = {
        "pixels": _pixels, "masks": _masks, "image_scores": _image_scores, "labels": _labels, "each_image": _each,
        "choices": _choices,
    }  # fmt: skip
    found: dict[str, Estimate] = {}
    for source, way in ways.items():
        wanted = [s for s in specs if s.source == source]
        if wanted:
            found |= way(images, wanted, protocol, weights)
    return found


def binary_counts(images: Sequence[KeptImage], protocol: Protocol) -> tuple[list[int], MaskCounts]:
    """Return the indices of the images with a binary mask, given or cut from scores, and its counts."""
    t = protocol.iou_threshold
    ends = score_range(tables_of(images)) if t is not None and protocol.per_category else None
    rows = array("q")
    for at, image in enumerate(images):
        if image.mask_tp is not None and image.mask_fp is not None:
            rows.extend((at, image.mask_tp, image.mask_fp, image.n_defect_pixels))
        elif t is not None and (table := image.table) is not None:
            # in the scores' own precision, as ``scores >= t`` compares
            cut = count_at([table], np.array([t], dtype=table.score.dtype), ends=ends)
            rows.extend((at, int(cut.tp[0]), int(cut.fp[0]), image.n_defect_pixels))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return columns[0].tolist(), MaskCounts(tp=columns[1], fp=columns[2], n_pos=columns[3])


def _pixels(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    used = [i for i, image in enumerate(images) if image.in_pixels and not image.excluded]
    tables = tables_of([images[i] for i in used])
    if len(tables) < len(used) or not used:
        with_map = [i for i in used if images[i].has_table]
        reason = _lacking(images, used, with_map, "score map") if used else _none_to_score(images)
        return {s.name: _undefined(images, used, reason) for s in specs}
    chosen = None if weights is None else of_images(weights, used)
    found: dict[str, Estimate] = {}
    if protocol.normalisation == "image_and_category":
        low, high = score_range(tables)
        tables = [rescaled(table, low, high) for table in tables]
    ends = score_range(tables)
    for grid in dict.fromkeys(s.grid for s in specs):
        group = [s for s in specs if s.grid == grid]
        functions = {s.name: bound(s, protocol) for s in group}
        if protocol.pooling == "image":
            values = _each_image(tables, functions, grid)
            found |= {s.name: _averaged(images, used, s, values[s.name], chosen) for s in group}
            continue
        counts = pooled_counts(tables, grid, ends)
        drawn = {} if chosen is None else _resampled(tables, counts, chosen, functions, grid, ends)
        curve = _curve(counts) if grid is None else None
        for s in group:
            value = float(functions[s.name](counts))
            found[s.name] = Estimate(
                value=value,
                reason=_pixel_reason(s, counts, len(used)) + _unmasked(images) if math.isnan(value) else None,
                **_sizes(images, used, by_pixels=True),
                threshold=_threshold(s, counts, protocol, ends),
                replicates=drawn.get(s.name),
                curve=curve,
            )
    return found


def _curve(counts: Counts) -> Counts | None:
    if not counts.score.size:
        return None
    kept = bootstrap.thinned(counts, bins=CURVE_POINTS)
    return Counts(
        score=counts.score[kept],
        tp=counts.tp[kept],
        fp=counts.fp[kept],
        fp_above=counts.fp_above[kept],
        n_pos=counts.n_pos,
        n_neg=counts.n_neg,
    )


def bound(spec: MetricSpec, protocol: Protocol) -> CountsMetric:
    """Return the spec's function of counts with the protocol's AUPRO limit filled in."""
    return partial(spec.function, limit=protocol.aupro_limit) if spec.limited else spec.function


def _resampled(
    tables: Sequence[ImageTable],
    counts: Counts,
    weights: NDArray[Any],
    functions: Mapping[str, CountsMetric],
    grid: Grid | None,
    ends: tuple[float, float],
) -> dict[str, NDArray[np.float64]]:
    if grid is not None:
        points, scaled = grid.at(ends)

        def at_points(some: Sequence[ImageTable]) -> Counts:
            return image_counts(some, points, strict=grid.strict, ends=scaled)

        return bootstrap.pooled_replicates(tables, at_points, points.size, weights, functions)[0]
    number = bootstrap.thinned(counts).size
    curves = partial(bootstrap.image_curves, counts=counts)
    drawn, plain = bootstrap.pooled_replicates(tables, curves, number, weights, functions)
    if number == counts.score.size:
        return drawn
    # fewer thresholds shift a value a little, and much the same in every resample: take the shift of the data off
    return {name: values + (float(functions[name](counts)) - plain[name][0]) for name, values in drawn.items()}


def _each_image(
    tables: Sequence[ImageTable], functions: Mapping[str, CountsMetric], grid: Grid | None
) -> dict[str, NDArray[np.float64]]:
    """Every metric of every image by itself, (n,), NaN where undefined."""
    counts = [pooled_counts([t], grid, score_range([t])) for t in tables]
    return {name: np.array([float(function(c)) for c in counts]) for name, function in functions.items()}


def _averaged(
    images: Sequence[KeptImage], used: Sequence[int], spec: MetricSpec, values: NDArray[np.float64], weights: Weights
) -> Estimate:
    """Mean of per-image values over the images where they are defined."""
    defined = np.isfinite(values)
    kept = [i for i, good in zip(used, defined, strict=True) if good]
    if not kept:
        return _undefined(images, used, f"{spec.name} is undefined in {len(used)} of {counted(len(used), 'image')}")
    known, drawn = np.where(defined, values, 0.0), None
    if weights is not None:
        drawn = ratio(product(weights, known), product(weights, defined))
    mean = float(known.sum() / defined.sum())
    sizes = _sizes(images, kept, by_pixels=spec.level == "pixel")
    return Estimate(value=mean, reason=None, **sizes, threshold=None, replicates=drawn)


def _each(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    found = {}
    for s in specs:
        used = [i for i, image in enumerate(images) if not image.excluded and (image.in_pixels or s.level == "image")]
        if not used:
            found[s.name] = _undefined(images, used, _none_to_score(images))
            continue
        values = np.array([images[i].values.get(s.name, math.nan) for i in used])
        found[s.name] = _averaged(images, used, s, values, None if weights is None else of_images(weights, used))
    return found


def _masks(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    used = [i for i, image in enumerate(images) if image.in_pixels and not image.excluded]
    found, counts = binary_counts([images[i] for i in used], protocol)
    if len(found) < len(used) or not used:
        missing = _lacking(images, used, [used[i] for i in found], "binary mask") + ", and the protocol cuts none"
        return {s.name: _undefined(images, used, missing if used else _none_to_score(images)) for s in specs}
    chosen = None if weights is None else of_images(weights, used)
    estimates = {}
    for s in specs:
        value = float(s.function(counts))
        kept = [i for i, p in zip(used, counts.n_pos, strict=True) if p > 0 or s.name != "iou"]
        estimates[s.name] = Estimate(
            value=value,
            reason=f"no defect pixel in {counted(len(used), 'image')}{_unmasked(images)}"
            if math.isnan(value)
            else None,
            **_sizes(images, kept, by_pixels=True),
            threshold=protocol.iou_threshold if any(images[i].mask_tp is None for i in used) else None,
            replicates=None if chosen is None else s.function(counts, chosen),
        )
    return estimates


def _image_scores(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    used = [i for i, image in enumerate(images) if not image.excluded]
    scores = [s for s in (images[i].image_score for i in used) if s is not None]
    if len(scores) < len(used) or not used:
        with_score = [i for i in used if images[i].image_score is not None]
        reason = _lacking(images, used, with_score, "score") if used else "no image to score"
        return {s.name: _undefined(images, used, reason) for s in specs}
    values, truth = np.array(scores, dtype=np.float64), np.array([images[i].defective for i in used])
    counts = score_counts(values, truth)
    drawn: dict[str, NDArray[np.float64]] = {}
    if weights is not None:
        functions = {s.name: s.function for s in specs}
        drawn = bootstrap.score_replicates(values, truth, counts, of_images(weights, used), functions)
    estimates = {}
    for s in specs:
        value = float(s.function(counts))
        estimates[s.name] = Estimate(
            value=value,
            reason=_class_reason(s, int(truth.sum()), len(used)) if math.isnan(value) else None,
            **_sizes(images, used),
            threshold=_finite(f_beta_threshold(counts, beta=s.beta)) if s.beta else None,
            replicates=drawn.get(s.name),
        )
    return estimates


def _labels(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    used = [i for i, image in enumerate(images) if not image.excluded]
    labels = [x for x in (images[i].label for i in used) if x is not None]
    if len(labels) < len(used) or not used:
        with_label = [i for i in used if images[i].label is not None]
        missing = _lacking(images, used, with_label, "label") if used else "no image to score"
        return {s.name: _undefined(images, used, missing) for s in specs}
    called, truth = np.array(labels, dtype=bool), np.array([images[i].defective for i in used])
    cells = confusion(called, truth, None)
    drawn = None if weights is None else confusion(called, truth, of_images(weights, used))
    estimates = {}
    for s in specs:
        value = float(s.function(cells))
        reason: str | None = None
        if math.isnan(value):
            nothing = s.name == "precision" and not called.any()
            reason = "no image is called defective" if nothing else _class_reason(s, int(truth.sum()), len(used))
        estimates[s.name] = Estimate(
            value=value,
            reason=reason,
            **_sizes(images, used),
            threshold=None,
            replicates=None if drawn is None else s.function(drawn),
            proportions=() if s.proportions is None or math.isnan(value) else s.proportions(cells),
        )
    return estimates


def _choices(
    images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol, weights: Weights
) -> dict[str, Estimate]:
    used = [i for i, image in enumerate(images) if not image.excluded]
    marked = [m for m in (images[i].marks for i in used) if m is not None]
    if len(marked) < len(used) or not used:
        having = [i for i in used if images[i].marks is not None]
        missing = _lacking(images, used, having, "answers to questions") if used else "no image to score"
        return {s.name: _undefined(images, used, missing) for s in specs}
    each = np.stack(marked).astype(np.float64)
    counts, drawn = ChoiceCounts.of(each.sum(axis=0)), None
    if weights is not None:
        drawn = ChoiceCounts.of(
            product(of_images(weights, used), each.reshape(len(used), -1)).reshape(-1, *each.shape[1:])
        )
    images_asked, sizes = (each[:, 1] > 0).sum(axis=0), _sizes(images, used)
    estimates = {}
    for s in specs:
        sizes["rarer"] = images_behind(s.function, images_asked)
        value = float(s.function(counts))
        estimates[s.name] = Estimate(
            value=value,
            reason=lacking(counts.asked) if math.isnan(value) else None,
            **sizes,
            threshold=None,
            replicates=None if drawn is None else s.function(drawn),
        )
    return estimates


def _lacking(images: Sequence[KeptImage], used: Sequence[int], having: Sequence[int], what: str) -> str:
    """Say how many images lack a part of the answer; a failed one got the worst, which its pipeline never gives."""
    if having and all(images[i].outcome != "ok" for i in having):
        return f"no image has a {what} (the {len(having)} that failed count as wrong)"
    return f"{len(used) - len(having)} of {counted(len(used), 'image')} have no {what}"


def _unmasked(images: Sequence[KeptImage]) -> str:
    """Say how many defective images have no mask, behind another reason; "" if none."""
    number = sum(not image.has_mask for image in images)
    return f"; {counted(number, 'defective image has', 'defective images have')} no mask" if number else ""


def _none_to_score(images: Sequence[KeptImage]) -> str:
    return "no image to score" + _unmasked(images)


def _undefined(images: Sequence[KeptImage], used: Sequence[int], reason: str) -> Estimate:
    return Estimate(value=math.nan, reason=reason, **_sizes(images, used), threshold=None, replicates=None)


class _Sizes(TypedDict):
    n: int
    n_defective: int
    n_skipped: int
    rarer: int


def _sizes(images: Sequence[KeptImage], used: Sequence[int], *, by_pixels: bool = False) -> _Sizes:
    """Count images; ``by_pixels``: those of the rarer class by defect pixels, not by label."""
    defective = sum(images[i].defective for i in used)
    marked = sum(images[i].n_defect_pixels > 0 for i in used) if by_pixels else defective
    rarer = rarer_class(marked, len(used) - marked)
    return {"n": len(used), "n_defective": defective, "n_skipped": len(images) - len(used), "rarer": rarer}


def _pixel_reason(spec: MetricSpec, counts: Counts, n: int) -> str:
    if int(counts.n_pos) == 0:
        return f"no defect pixel in {counted(n, 'image')}"
    if spec.both_classes and int(counts.n_neg) == 0:
        return f"no good pixel in {counted(n, 'image')}"
    return "fewer than two false-positive rates below the limit"


def _class_reason(spec: MetricSpec, n_defective: int, n: int) -> str:
    return f"no defective image among {n}" if n_defective == 0 else f"no good image among {n}"


def _threshold(spec: MetricSpec, counts: Counts, protocol: Protocol, ends: tuple[float, float]) -> float | None:
    if spec.beta is None:
        return None
    t = f_beta_threshold(counts, beta=spec.beta)
    if spec.grid is None and protocol.normalisation == "category":
        t = float(minmax(np.array(t), *ends))
    return _finite(t)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
