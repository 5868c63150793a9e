"""Whether two runs differ: paired intervals, image-swap permutation tests, and their correction for many rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.results.replicates import Replicates
from benchmark.results.schema import RunResult
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics import intervals
from benchmark.scoring.metrics.intervals import FEWEST, Interval
from benchmark.scoring.metrics.registry import METRICS
from benchmark.scoring.metrics.swap import Swapped
from benchmark.scoring.metrics.swap_draws import Swaps
from benchmark.scoring.protocol import Protocol
from benchmark.scoring.swap_parts import swapped

PERMUTATIONS = 9999
"""Least number of permutations of a test; so many more that a correction for every row can still find one."""
ALL = ("mean", "pooled")
Key = tuple[str, str]
"""Metric and category."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs over the same images, with what they keep of them."""

    first: RunResult
    second: RunResult
    one: Replicates
    two: Replicates
    rows: Mapping[Key, tuple[MetricRecord, MetricRecord]]
    """Of both runs, where both have a value."""

    @property
    def confidence(self) -> float:
        """Nominal coverage of intervals, and 1 less the level of tests."""
        return float(self.first.protocol.settings.get("confidence", 0.95))

    def categories(self, metric: str) -> list[str]:
        """Categories in which both runs have a value, sorted."""
        return sorted(category for name, category in self.rows if name == metric and category not in ALL)


def pair(first: RunResult, second: RunResult, one: Replicates, two: Replicates) -> Pair:
    """Put two runs over the same images side by side."""
    theirs = {(r.metric, r.category): r for r in second.metrics if r.value is not None}
    own = {(r.metric, r.category): r for r in first.metrics if r.value is not None}
    rows = {key: (own[key], theirs[key]) for key in own if key in theirs}
    return Pair(first=first, second=second, one=one, two=two, rows=rows)


def paired_interval(
    first: NDArray[np.float64], second: NDArray[np.float64], *, confidence: float, n: int
) -> tuple[float | None, float | None]:
    """Return the ends of the interval of ``first - second`` over the same resamples; (None, None) where undefined.

    It is the expanded percentile interval of :func:`benchmark.scoring.metrics.intervals.expanded`.

    Args:
        first: (R,) values of one run on every resample.
        second: (R,) those of the other.
        confidence: nominal coverage.
        n: images that the values rest on, at least 2: those of the rarer class.
    """
    if first.shape != second.shape:
        raise ValueError(f"paired replicates must be of one length, got {first.shape} and {second.shape}")
    found = intervals.expanded(first - second, confidence=confidence, n=n)
    return found.low, found.high


def interval_of_difference(both: Pair, key: Key) -> Interval:
    """Return the interval of the first run's value less the second's; none, with a reason, for too few images."""
    metric, category = key
    row, other = both.rows[key]
    names = both.categories(metric) if category == "mean" else []
    difference = _value(row) - _value(other)
    sizes = np.array([_rarer(both.rows[metric, c][0]) for c in names], dtype=np.float64)
    if len(names) > 1 and sizes.min() < FEWEST:
        gaps = [_value(both.rows[metric, c][0]) - _value(both.rows[metric, c][1]) for c in names]
        return intervals.over_categories(np.array(gaps), confidence=both.confidence, bounded=False)
    one, two = both.one.replicates.get(key), both.two.replicates.get(key)
    if one is None or two is None or one.shape != two.shape:
        return Interval(None, None)
    if len(names) > 1:
        each = sizes.size / float(np.sum(1.0 / sizes))
        return intervals.expanded(
            one - two, confidence=both.confidence, n=each, df=float(np.sum(sizes - 1.0)), centre=difference
        )
    reason = intervals.too_few(_rarer(row))
    if reason:
        return Interval(None, None, reason)
    low, high = paired_interval(one, two, confidence=both.confidence, n=_rarer(row))
    if low is None or high is None:
        return Interval(None, None)
    return Interval(min(low, difference), max(high, difference))


def _value(row: MetricRecord) -> float:
    return math.nan if row.value is None else row.value


def _rarer(row: MetricRecord) -> int:
    return intervals.rarer_class(row.n_defective, row.n - row.n_defective)


def p_values(both: Pair) -> dict[Key, float]:
    """Return the p-value of the image-swap permutation of every row that both runs kept images for."""
    sets = sorted({category for _, category in both.one.parts} - {"pooled"})
    number = max(PERMUTATIONS, 50 * len(both.rows))
    specs = [METRICS[name] for name in dict.fromkeys(metric for metric, _ in both.rows) if name in METRICS]
    protocol = Protocol.model_validate(both.first.protocol.settings)
    found: dict[Key, float] = {}
    by_category: dict[str, dict[str, Swapped]] = {}
    sizes = {c: next(iter(_of(both.one.parts, c).values()))["used"].size for c in sets}
    for category in (*sets, "pooled"):
        one, two = (_of(kept.parts, category) for kept in (both.one, both.two))
        if not one or not two:
            continue
        wanted = [s for s in specs if (s.name, category) in both.rows]
        swaps = Swaps(number=number, sizes=sizes if category == "pooled" else {category: sizes[category]})
        by_category[category] = swapped(one, two, wanted, protocol, swaps=swaps)
        found |= {(name, category): result.p for name, result in by_category[category].items()}
    for spec in specs:
        parts = [by_category.get(c, {}).get(spec.name) for c in both.categories(spec.name)]
        known = [p for p in parts if p is not None]
        if known and len(known) == len(parts) and (spec.name, "mean") in both.rows:
            found[spec.name, "mean"] = _mean(known).p
    return found


def _of(
    parts: Mapping[Key, Mapping[str, NDArray[np.generic]]], category: str
) -> dict[str, Mapping[str, NDArray[np.generic]]]:
    return {kind: values for (kind, of), values in parts.items() if of == category}


def _mean(parts: Sequence[Swapped]) -> Swapped:
    stacked = np.stack([p.permuted for p in parts])
    known = np.isfinite(stacked)
    sums = np.where(known, stacked, 0.0).sum(axis=0)
    means = np.divide(sums, known.sum(axis=0), out=np.full(sums.shape, np.nan), where=known.any(axis=0))
    return Swapped(observed=float(np.mean([p.observed for p in parts])), permuted=means)


def holm(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Correct p-values for their number (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    The k-th smallest of m is multiplied by m − k + 1, and none falls below a smaller one's.
    """
    found, least = {}, 0.0
    for rank, key in enumerate(sorted(p, key=lambda k: (p[k], k))):
        least = max(least, min(1.0, (len(p) - rank) * p[key]))
        found[key] = least
    return found
