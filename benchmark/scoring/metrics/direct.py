"""Pixel metrics straight from score maps and masks, for use outside a run."""

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

    Parameters
    ----------
    maps : iterable of ndarray, shape (H, W)
        Finite scores, larger is more defective. Read one at a time, so a generator need not hold them all.
    masks : iterable of ndarray, shape (H, W)
        Ground truth of each map: bool, or uint8 of 0 and 1.
    names : sequence of str
        Metrics of ``benchmark.scoring.metrics.registry`` that are computed from score maps.
    limit : float
        False-positive rate in (0, 1] up to which AUPRO is taken.

    Returns
    -------
    dict of str to float
        NaN where a metric is undefined.

    Raises
    ------
    ConfigError
        A name is unknown, or not a metric of score maps; ``limit`` is no rate.
    DataError
        Scores are not finite, shapes differ, or a mask is not binary.

    Examples
    --------
    >>> import numpy as np
    >>> found = pixel_metrics([np.array([[0.9, 0.1], [0.2, 0.8]])], [np.array([[True, False], [False, True]])])
    >>> sorted(found.items())
    [('ap', 1.0), ('aupro', 1.0), ('auroc', 1.0), ('f1_max', 1.0), ('max_iou', 1.0)]
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
