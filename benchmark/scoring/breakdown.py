"""The same metrics over parts of the images: by defect type, by defect size, without good images, image by image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmark.scoring.estimates import bound, estimate
from benchmark.scoring.kept_images import KeptImage, tables_of
from benchmark.scoring.metrics.labels import MaskCounts, image_iou
from benchmark.scoring.metrics.pool import pooled_counts, score_range
from benchmark.scoring.metrics.registry import MetricSpec
from benchmark.scoring.protocol import Protocol

Row = dict[str, str | int | float | None]
"""``category``, ``by``, ``part``, ``metric``, ``value`` (None where undefined), ``n``, ``n_defective``."""
SIZES = ("small", "medium", "large")
QUARTILES = {"lower quartile": 25, "median": 50, "upper quartile": 75}


def breakdown(
    sets: Mapping[str, Sequence[KeptImage]], specs: Sequence[MetricSpec], protocol: Protocol
) -> Iterator[Row]:
    """Yield every metric of every part of the images.

    Parts of ``by=defect_type`` and ``by=defect_area`` are the defective images of one type, or of one third by the
    share of defect pixels, against all good images; ``by=images`` holds pixel metrics of defective images alone, and
    quartiles over images of the metric of each image; ``by=chance`` what a constant score map has.

    Args:
        sets: category (and ``pooled``) to its images.
        specs: of the metrics.
        protocol: resolved for the dataset.
    """
    for category, images in sets.items():
        scored = [i for i in images if not i.excluded]
        good, bad = [i for i in scored if not i.defective], [i for i in scored if i.defective]
        for name in sorted({i.defect_type for i in bad}):
            some = [i for i in bad if i.defect_type == name]
            yield from _part(category, "defect_type", name, [*some, *good], specs, protocol)
        for name, some in _by_area(bad).items():
            yield from _part(category, "defect_area", name, [*some, *good], specs, protocol)
        pixels = [s for s in specs if s.source == "pixels"]
        if bad and pixels:
            yield from _part(category, "images", "defective alone", bad, pixels, protocol)
        yield from _quartiles(category, bad, specs, protocol)
        yield from _chance(category, scored, pixels)


def _part(
    category: str, by: str, part: str, images: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol
) -> Iterator[Row]:
    ordered = sorted(images, key=lambda i: i.id)
    for name, e in estimate(ordered, specs, protocol=protocol, weights=None).items():
        yield _row(category, by, part, name, e.value, n=e.n, n_defective=e.n_defective)


def _row(category: str, by: str, part: str, metric: str, value: float, *, n: int, n_defective: int) -> Row:
    known = None if math.isnan(value) else value
    return {
        "category": category, "by": by, "part": part, "metric": metric, "value": known, "n": n,
        "n_defective": n_defective,
    }  # fmt: skip


def _by_area(bad: Sequence[KeptImage]) -> dict[str, list[KeptImage]]:
    """Thirds of the images with defect pixels by their share of them; images of one share are in one third."""
    marked = [i for i in bad if i.n_defect_pixels]
    if len(marked) < len(SIZES):
        return {}
    share = np.array([i.n_defect_pixels / i.n_pixels for i in marked])
    place = np.searchsorted(np.quantile(share, [1 / 3, 2 / 3]), share, side="left")
    parts = {name: [i for i, p in zip(marked, place, strict=True) if p == at] for at, name in enumerate(SIZES)}
    return {name: images for name, images in parts.items() if images}


def _quartiles(
    category: str, bad: Sequence[KeptImage], specs: Sequence[MetricSpec], protocol: Protocol
) -> Iterator[Row]:
    """Quartiles over defective images of the metric that each image has by itself."""
    tables = tables_of([i for i in bad if i.in_pixels])
    each: dict[str, list[float]] = {}
    for spec in specs:
        if spec.source == "pixels" and tables:
            function = bound(spec, protocol)
            each[spec.name] = [float(function(pooled_counts([t], spec.grid, score_range([t])))) for t in tables]
        elif spec.name == "iou":
            each[spec.name] = _each_iou(bad)
    for name, values in each.items():
        known = [v for v in values if not math.isnan(v)]
        for part, percent in QUARTILES.items() if known else ():
            value = float(np.percentile(known, percent))
            yield _row(category, "images", part, name, value, n=len(known), n_defective=len(known))


def _each_iou(bad: Sequence[KeptImage]) -> list[float]:
    masked = [i for i in bad if i.mask_tp is not None and i.mask_fp is not None]
    columns = ([i.mask_tp for i in masked], [i.mask_fp for i in masked], [i.n_defect_pixels for i in masked])
    tp, fp, n_pos = (np.array(c, dtype=np.int64) for c in columns)
    return [float(v) for v in image_iou(MaskCounts(tp=tp, fp=fp, n_pos=n_pos))]


def _chance(category: str, images: Sequence[KeptImage], specs: Sequence[MetricSpec]) -> Iterator[Row]:
    """Pixel AP and F-beta-max of a constant map: P / (P + N) and (1 + β²) P / ((1 + β²) P + N)."""
    used = [i for i in images if i.in_pixels]
    positive, total = sum(i.n_defect_pixels for i in used), sum(i.n_pixels for i in used)
    if not positive:
        return
    for spec in specs:
        if spec.grid is not None or spec.name not in ("ap", "f1_max", "f2_max", "max_iou"):
            continue
        squared = (spec.beta or 0.0) ** 2
        value = (1 + squared) * positive / (squared * positive + total)
        if spec.name in ("ap", "max_iou"):
            value = positive / total
        bad = sum(i.defective for i in used)
        yield _row(category, "chance", "constant map", spec.name, value, n=len(used), n_defective=bad)
