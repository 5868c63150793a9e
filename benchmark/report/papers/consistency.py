"""Arithmetic that published numbers cannot escape: rows that break it are flagged without being told."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from math import log

from benchmark.report.papers.published_row import PublishedRow

SHARE_OF_TOTAL = {"texture7": 7, "object22": 22}
"""Categories behind the partial means of SAA+'s tables; ``total29`` is the mean over both."""


def ap_bound(f1_max: float) -> float:
    """Return the largest AP that one pool of pixels can have when its F1-max is ``f1_max``.

    With F1 <= f everywhere, precision at recall r is at most f·r / (2r − f), and at most 1, so
    AP <= a + ∫_a^1 f·r/(2r − f) dr = a + f(1 − a)/2 + (f²/2) ln((2 − f)/f) with a = f/(2 − f).

    Args:
        f1_max: in [0, 1].

    Returns:
        In [0, 1], and never below ``f1_max / (2 − f1_max)``.

    Raises:
        ValueError: ``f1_max`` is outside [0, 1].
    """
    if not 0.0 <= f1_max <= 1.0:
        raise ValueError(f"an F1-max of {f1_max} is outside [0, 1]; give a fraction")
    if f1_max == 0.0:
        return 0.0
    f, a = f1_max, f1_max / (2.0 - f1_max)
    return a + f * (1.0 - a) / 2.0 + f * f / 2.0 * log((2.0 - f) / f)


def ap_bound_of_mean(f1_max: float) -> float:
    """Return the largest mean AP over categories when their mean F1-max is ``f1_max``.

    ``ap_bound`` is convex for small values, so categories of unequal F1-max can have a larger mean AP than
    the bound at the mean. Its concave hull (a straight line from 0, then the bound itself) always holds.
    """
    touch, slope = _touching_point()
    return slope * f1_max if f1_max < touch else ap_bound(f1_max)


@functools.cache
def _touching_point() -> tuple[float, float]:
    """Where the tangent from the origin touches ``ap_bound``, and its slope."""
    grid = [i / 10_000 for i in range(1, 10_001)]
    best = max(grid, key=lambda f: ap_bound(f) / f)
    return best, ap_bound(best) / best


def impossible_pairs(rows: Iterable[PublishedRow]) -> dict[PublishedRow, str]:
    """Return the F1-max rows whose AP partner is larger than any AP that goes with them, and why.

    Both numbers are given half a unit of their last printed digit, in the direction that acquits them.
    """
    found: dict[PublishedRow, str] = {}
    chosen = [r for r in rows if r.metric in ("ap_pixel", "f1_max_pixel") and r.flag != "difference"]
    partners = {_key(r): r for r in chosen if r.metric == "ap_pixel"}
    for row in chosen:
        partner = partners.get(_key(row))
        if row.metric != "f1_max_pixel" or partner is None:
            continue
        bound = ap_bound_of_mean(min(1.0, row.value * row.scale + row.rounding))
        if partner.value * partner.scale - partner.rounding > bound:
            limit = bound / row.scale
            found[row] = f"an AP of {partner.printed} needs more: with this F1-max it cannot exceed {limit:.1f}"
    return found


def wrong_totals(rows: Iterable[PublishedRow]) -> dict[PublishedRow, str]:
    """Return the ``total29`` rows that are not the weighted mean of their two parts, and why."""
    found: dict[PublishedRow, str] = {}
    groups: dict[tuple[str, ...], dict[str, PublishedRow]] = {}
    for row in rows:
        if row.category in (*SHARE_OF_TOTAL, "total29"):
            groups.setdefault((row.paper, row.table, row.method, row.metric), {})[row.category] = row
    for group in groups.values():
        if len(group) == len(SHARE_OF_TOTAL) + 1:
            found |= _wrong_total(group)
    return found


def _wrong_total(group: Mapping[str, PublishedRow]) -> dict[PublishedRow, str]:
    total = group["total29"]
    weights = sum(SHARE_OF_TOTAL.values())
    mean = sum(share * group[part].value for part, share in SHARE_OF_TOTAL.items()) / weights
    allowed = 2 * total.rounding / total.scale  # the total's own digit and that of its parts
    if abs(mean - total.value) <= allowed + 1e-9:
        return {}
    return {total: f"its parts, weighted by their categories, give {mean:.2f}"}


def _key(row: PublishedRow) -> tuple[str, ...]:
    return (row.paper, row.table, row.dataset, row.category, row.method, row.protocol)
