"""Intervals that cover: which kind a value gets, and when it gets none.

A proportion has Wilson's interval. Any other value over one set of images has the percentiles of its resamples, spread
for few images; below ``FEWEST`` images of the rarer class resamples say too little, and there is none. A mean over
categories that small has Student's t over them. Coverage is measured by ``tests/perf/interval_coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.core.text import counted

FEWEST = 5
"""Images of the rarer class, or categories, below which no interval is given."""
SAME = 1e-12
"""Values that lie no further apart are equal but for rounding."""
Proportion = tuple[int, int]
"""Successes and trials."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; both ends None where there is none, with the reason."""

    low: float | None
    high: float | None
    reason: str | None = None


def rarer_class(first: int, second: int) -> int:
    """Return the smaller of the numbers of images of two classes; of the only one where the other has none."""
    return min((k for k in (first, second) if k), default=0)


def too_few(rarer: int) -> str | None:
    """Say why so few images of the rarer class have no interval; None where they have one."""
    if rarer >= FEWEST:
        return None
    return f"no interval: {counted(rarer, 'image')} of the rarer class, fewer than {FEWEST}"


def all_same(values: NDArray[np.float64]) -> bool:
    """Say whether replicates do not differ but for rounding; undefined ones are left out."""
    defined = values[np.isfinite(values)]
    return bool(defined.size) and float(defined.max() - defined.min()) <= SAME


def expanded(
    values: NDArray[np.float64],
    *,
    confidence: float,
    n: float,
    df: float | None = None,
    centre: float | None = None,
) -> Interval:
    """Return the expanded percentile interval of replicates, leaving undefined ones out.

    The percentiles are P(Z < ∓√(n/(n−1)) t), with t the quantile of Student's t: plain percentiles are too narrow
    for few images (T. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015,
    section 5.3).

    Args:
        values: (R,) replicates, NaN where undefined. No interval is given where fewer than half are defined.
        confidence: nominal coverage, in (0, 1).
        n: images that the value rests on, above 1: those of the rarer class.
        df: degrees of freedom of t; None: n − 1.
        centre: the replicates are moved so that this is their mean; None: they stay. A mean over categories adds up
            the bias of all of them, while its spread shrinks.
    """
    from scipy.special import ndtr, stdtrit

    if not 0.0 < confidence < 1.0:
        raise ValueError(f"the confidence of an interval lies in (0, 1), got {confidence}")
    defined = values[np.isfinite(values)]
    if defined.size == 0 or defined.size < 0.5 * values.size:
        return Interval(None, None, "no interval: undefined in most resamples")
    quantile = math.sqrt(n / (n - 1.0)) * stdtrit(n - 1.0 if df is None else df, 0.5 + 0.5 * confidence)
    tail = 100.0 * ndtr(-quantile)
    low, high = np.percentile(defined, [tail, 100.0 - tail])
    shift = 0.0 if centre is None else centre - float(defined.mean())
    return Interval(float(low) + shift, float(high) + shift)


def wilson(groups: Sequence[Sequence[Proportion]], *, confidence: float) -> Interval:
    """Return Wilson's score interval of a proportion, and of the mean of several.

    A group is one proportion in several categories: its mean has as many trials as give it the variance of the mean,
    K² / Σ 1/n_k, which is at most what differing categories need. Groups are independent (recall and specificity):
    the distances from their ends add up as squares (G. Y. Zou and A. Donner, Construction of confidence limits about
    effect measures, Statistics in Medicine 27, 2008).

    Args:
        groups: successes and trials, each of at least one trial; the value is the mean of the groups' means.
        confidence: nominal coverage.
    """
    from scipy.special import ndtri

    squared = float(ndtri(0.5 + 0.5 * confidence)) ** 2
    below = above = total = 0.0
    for group in groups:
        share = sum(successes / trials for successes, trials in group) / len(group)
        trials = len(group) ** 2 / sum(1.0 / trials for _, trials in group)
        middle = (share + squared / (2.0 * trials)) / (1.0 + squared / trials)
        reach = math.sqrt(squared * (share * (1.0 - share) / trials + squared / (4.0 * trials**2)))
        reach /= 1.0 + squared / trials
        below += (share - (middle - reach)) ** 2
        above += (middle + reach - share) ** 2
        total += share
    number = len(groups)
    low, high = (total - math.sqrt(below)) / number, (total + math.sqrt(above)) / number
    return Interval(max(0.0, low), min(1.0, high))


def unseen(value: float, *, confidence: float, n: float) -> Interval:
    """Return the interval of a value that no resample changes: a share of cases that n did not show may be anything.

    That share is at most z²/(n + z²), Wilson's upper end of 0 in n; so 1.0 over n images is [n/(n + z²), 1].

    Args:
        value: in [0, 1].
        confidence: nominal coverage.
        n: images, or categories.
    """
    from scipy.special import ndtri

    squared = float(ndtri(0.5 + 0.5 * confidence)) ** 2
    share = squared / (n + squared)
    return Interval(value * (1.0 - share), value + (1.0 - value) * share)


def over_categories(values: NDArray[np.float64], *, confidence: float, bounded: bool = True) -> Interval:
    """Return Student's t interval of the mean of categories' values, none below ``FEWEST`` of them.

    Args:
        values: (K,) one of each category.
        confidence: nominal coverage.
        bounded: the values lie in [0, 1]; equal ones then leave the unseen (:func:`unseen`) open.
    """
    from scipy.special import stdtrit

    number = values.size
    if number < FEWEST:
        small = f"{counted(number, 'category', 'categories')}, some with fewer than {FEWEST} images of the rarer class"
        return Interval(None, None, f"no interval: {small}")
    mean, spread = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(number)
    if spread <= SAME and bounded:
        return unseen(mean, confidence=confidence, n=number)
    reach = float(stdtrit(number - 1, 0.5 + 0.5 * confidence)) * spread
    return Interval(mean - reach, mean + reach)


def holding(interval: Interval, value: float) -> Interval:
    """Return the interval cut to [0, 1] and stretched to hold the value itself."""
    if interval.low is None or interval.high is None:
        return interval
    return Interval(min(max(0.0, interval.low), value), max(min(1.0, interval.high), value))
