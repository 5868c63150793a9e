"""Pixel metrics straight from score maps and masks, without an evaluation around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from benchmark.core.errors import ConfigError
from benchmark.scoring.metrics.pixel import checked_limit
from benchmark.scoring.metrics.pool import count, pooled_counts, score_range
from benchmark.scoring.metrics.registry import metrics
from benchmark.scoring.metrics.tables import dense_table


def pixel_metrics(
    maps: Iterable[NDArray[Any]],
    masks: Iterable[NDArray[Any]],
    *,
    names: Sequence[str] = ("ap", "f1_max", "max_iou", "auroc", "aupro"),
    limit: float = 0.3,
) -> dict[str, float]:
    """Compute exact metrics over the pooled pixels of score maps.

    Args:
        maps: (H, W) finite scores, larger is more defective.
        masks: ground truth of each map, (H, W) bool, or uint8 of 0 and 1.
        names: metrics of the registry that are computed from score maps.
        limit: false-positive rate in (0, 1] up to which AUPRO is taken.

    Returns:
        NaN where a metric is undefined.

    Raises:
        ConfigError: a name is unknown, or not a metric of score maps; ``limit`` is no rate.
        DataError: scores are not finite, shapes differ, or a mask is not binary.
    """
    specs = metrics(names)
    other = [s.name for s in specs if s.source != "pixels"]
    if other:
        raise ConfigError(f"{other[0]} is not computed from score maps; leave it out here")
    limit = checked_limit(limit)
    components = any(s.limited or s.regional for s in specs)
    tables = [
        dense_table(scores, mask, components=components, where=f"map {at}")
        for at, (scores, mask) in enumerate(zip(maps, masks, strict=True))
    ]
    exact, ends = count(tables), score_range(tables)
    found = {}
    for spec in specs:
        counts = exact if spec.grid is None else pooled_counts(tables, spec.grid, ends)
        function = partial(spec.function, limit=limit) if spec.limited else spec.function
        found[spec.name] = float(function(counts))
    return found
