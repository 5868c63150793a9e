"""The interval of an estimate: of one set of images, and of a mean over categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.scoring.estimates import Estimate
from benchmark.scoring.metrics import intervals
from benchmark.scoring.metrics.intervals import FEWEST, Interval
from benchmark.scoring.protocol import Protocol

OFF = Interval(None, None, "no interval: protocol.resamples=0")


def interval_of(e: Estimate, protocol: Protocol) -> Interval:
    """Return the interval of a value over one set of images.

    Args:
        e: with replicates; a value that is undefined has no interval, nor a reason why.
        protocol: its confidence, and 0 resamples for none.
    """
    if np.isnan(e.value):
        return Interval(None, None)
    if protocol.resamples == 0:
        return OFF
    if e.proportions:
        found = intervals.wilson([(p,) for p in e.proportions], confidence=protocol.confidence)
    elif e.replicates is None or (reason := intervals.too_few(e.rarer)):
        return Interval(None, None, None if e.replicates is None else reason)
    elif intervals.all_same(e.replicates):
        found = intervals.unseen(e.value, confidence=protocol.confidence, n=e.rarer)
    else:
        found = intervals.expanded(e.replicates, confidence=protocol.confidence, n=e.rarer)
    return intervals.holding(found, e.value)


def interval_of_mean(mean: Estimate, categories: Sequence[Estimate], protocol: Protocol) -> Interval:
    """Return the interval of the unweighted mean over the categories in which a metric is defined.

    Where a category has fewer than ``FEWEST`` images of its rarer class, it is Student's t over the categories. Else
    proportions have Wilson's interval together, and other metrics the percentiles of resampled images.

    Args:
        mean: over the categories, with replicates.
        categories: all of them.
        protocol: as for :func:`interval_of`.
    """
    defined = [e for e in categories if not np.isnan(e.value)]
    if len(defined) < 2 or protocol.resamples == 0:
        return interval_of(defined[0] if defined else mean, protocol)
    confidence = protocol.confidence
    sizes = np.array([e.rarer for e in defined], dtype=np.float64)
    shares = list(zip(*(e.proportions for e in defined), strict=True))
    if sizes.min() < FEWEST and (len(defined) >= FEWEST or not shares):
        found = intervals.over_categories(np.array([e.value for e in defined]), confidence=confidence)
    elif shares:
        found = intervals.wilson(shares, confidence=confidence)
    elif mean.replicates is None:
        return Interval(None, None)
    else:
        each = sizes.size / np.sum(1.0 / sizes)  # images of a category, as they count in the variance of the mean
        if intervals.all_same(mean.replicates):
            found = intervals.unseen(mean.value, confidence=confidence, n=each * sizes.size)
        else:
            found = intervals.expanded(
                mean.replicates, confidence=confidence, n=each, df=float(np.sum(sizes - 1.0)), centre=mean.value
            )
    return intervals.holding(found, mean.value)
