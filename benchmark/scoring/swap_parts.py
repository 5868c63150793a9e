"""What a run keeps of every image so that it can be compared with another by swapping their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.scoring.estimates import Estimate, binary_counts, bound
from benchmark.scoring.kept_images import KeptImage, tables_of
from benchmark.scoring.metrics import swap
from benchmark.scoring.metrics.exchange import Exchange, Parts, exchange
from benchmark.scoring.metrics.pool import score_range
from benchmark.scoring.metrics.registry import MetricSpec
from benchmark.scoring.metrics.swap import Swapped
from benchmark.scoring.metrics.swap_draws import Swaps
from benchmark.scoring.protocol import Protocol


def kind_of(spec: MetricSpec) -> str:
    """Return which parts a metric is a function of: its source, with what tells it from others of that source."""
    if spec.source == "each_image":
        return f"{spec.source}_{spec.name}"
    return spec.source if spec.grid is None else f"{spec.source}_{len(spec.grid.points)}"


def parts_of(
    images: Sequence[KeptImage],
    specs: Sequence[MetricSpec],
    estimates: Mapping[str, Estimate],
    protocol: Protocol,
) -> dict[str, Parts]:
    """Return the parts of a set of images for every kind that a defined metric needs.

    Args:
        images: sorted by id; the order must be that of the other run.
        specs: of the metrics.
        estimates: of these images, by metric.
        protocol: resolved for the dataset. Pixel metrics that are averaged over images are not pooled, and have none.
    """
    found: dict[str, Parts] = {}
    for spec in specs:
        kind = kind_of(spec)
        if kind in found or np.isnan(estimates[spec.name].value):
            continue
        pixels = spec.level == "pixel"
        used = [i for i, image in enumerate(images) if not image.excluded and (image.in_pixels or not pixels)]
        made = _made([images[i] for i in used], spec, protocol)
        if made:
            found[kind] = swap.spread_out(made, used, len(images))
    return found


def _made(images: Sequence[KeptImage], spec: MetricSpec, protocol: Protocol) -> dict[str, NDArray[Any]]:
    defective = np.array([i.defective for i in images], dtype=bool)
    if spec.source == "labels":
        return {"called": np.array([bool(i.label) for i in images]), "defective": defective}
    if spec.source == "image_scores":
        return swap.score_parts(np.array([i.image_score for i in images], dtype=np.float64), defective)
    if spec.source == "masks":
        _, counts = binary_counts(images, protocol)
        return {name: np.asarray(v).astype(np.uint32) for name, v in vars(counts).items()}
    if spec.source == "choices":
        return {"marks": np.stack([i.marks for i in images if i.marks is not None])}
    if spec.source == "each_image":
        return swap.mean_parts(np.array([i.values.get(spec.name, np.nan) for i in images]))
    if protocol.pooling == "image":
        return {}
    tables = tables_of(images)
    if spec.grid is not None:
        ends = score_range(tables)
        points, scaled = spec.grid.at(ends)
        return swap.counted_parts(tables, points, strict=spec.grid.strict, ends=scaled)
    return swap.pixel_parts(tables)


def swapped(
    first: Mapping[str, Parts],
    second: Mapping[str, Parts],
    specs: Sequence[MetricSpec],
    protocol: Protocol,
    *,
    swaps: Swaps | NDArray[np.uint8],
) -> dict[str, Swapped]:
    """Swap two runs over one set of images for every metric that both kept parts for.

    Args:
        first: kind to parts of one run.
        second: those of the other.
        specs: of the metrics.
        protocol: of both.
        swaps: which images are swapped, drawn block by block, or given as (R, n) of 0 and 1.
    """
    images = swaps.n if isinstance(swaps, Swaps) else swaps.shape[1]
    exchanges: list[tuple[Exchange, Mapping[str, Callable[[Any], Any]]]] = []
    for kind in dict.fromkeys(kind_of(s) for s in specs):
        one, two = first.get(kind), second.get(kind)
        if one is None or two is None:
            continue
        shared = [name for name in one if name in two]  # only one of them may have looked at components
        one, two = ({name: parts[name] for name in shared} for parts in (one, two))
        if any(one[name].shape != two[name].shape for name in shared) or one["used"].size != images:
            continue
        of_kind = [s for s in specs if kind_of(s) == kind]
        masks = {"iou": swap.mask_iou, "iou_pooled": swap.mask_iou_pooled}
        functions: dict[str, Callable[[Any], Any]] = {
            s.name: masks[s.name] if s.source == "masks" else bound(s, protocol) for s in of_kind
        }
        if of_kind[0].source == "each_image":
            functions = {s.name: swap.mean for s in of_kind}
        exchanges.append((exchange(one, two, of_kind[0].source), functions))
    return swap.together(exchanges, swaps=swaps)
