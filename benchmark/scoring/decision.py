"""Thresholds that a factory would set: by cost or false-alarm rate, chosen on other images than they are judged on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]
Chooser = Callable[[Scores, Truth], float]
"""Takes scores and labels of validation images, gives a threshold: ``score >= threshold`` is called defective."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one wrong answer costs, in any unit."""

    miss: float = 10.0
    """A defective image that is passed."""
    overkill: float = 1.0
    """A good image that is called defective."""

    def __post_init__(self) -> None:
        """Refuse costs that are negative, not finite, or both 0."""
        if not all(math.isfinite(c) and c >= 0 for c in (self.miss, self.overkill)) or self.miss + self.overkill == 0:
            given = f"miss={self.miss:g} and overkill={self.overkill:g}"
            raise ConfigError(f"costs are numbers of 0 or more, and not both 0; got {given}")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Images called defective or good, and what that costs."""

    name: str
    """How the threshold was chosen."""
    threshold: float | None
    """None where there are several, or none."""
    tp: int
    fp: int
    fn: int
    tn: int
    cost: float
    """Mean over images."""


def decide(name: str, called: Truth, truth: Truth, costs: Costs, *, threshold: float | None = None) -> Decision:
    """Count answers and their mean cost.

    Args:
        name: how they came about.
        called: (n,) True where an image is called defective.
        truth: (n,) True where it is.
        costs: of a wrong answer.
        threshold: that the answers were cut at.
    """
    tp, fp = int((called & truth).sum()), int((called & ~truth).sum())
    fn, tn = int((~called & truth).sum()), int((~called & ~truth).sum())
    cost = (costs.miss * fn + costs.overkill * fp) / max(1, truth.size)
    return Decision(name=name, threshold=threshold, tp=tp, fp=fp, fn=fn, tn=tn, cost=cost)


def cost_curve(scores: Scores, truth: Truth, costs: Costs) -> tuple[Scores, Scores]:
    """Return every distinct threshold, descending from +inf, and the mean cost of an image at it, both (K,)."""
    thresholds = np.concatenate(([np.inf], np.unique(scores)[::-1]))
    bad, good = np.sort(scores[truth]), np.sort(scores[~truth])
    misses = np.searchsorted(bad, thresholds, side="left")
    alarms = good.size - np.searchsorted(good, thresholds, side="left")
    return thresholds, (costs.miss * misses + costs.overkill * alarms) / max(1, scores.size)


def least_cost(costs: Costs) -> Chooser:
    """Return a chooser of the threshold of least cost: halfway to the next lower score, the highest of several."""

    def choose(scores: Scores, truth: Truth) -> float:
        thresholds, cost = cost_curve(scores, truth, costs)
        at = int(np.argmin(cost))
        lower = thresholds[at + 1] if at + 1 < thresholds.size else thresholds[at]
        if not (np.isfinite(thresholds[at]) and np.isfinite(lower)):
            return float(thresholds[at])
        middle = 0.5 * thresholds[at] + 0.5 * lower
        return float(middle if middle > lower else thresholds[at])

    return choose


def good_quantile(rate: float) -> Chooser:
    """Return a chooser that looks at good images alone: a new one exceeds the threshold with a chance of ``rate``.

    It is the ⌈(1 − rate)(n + 1)⌉-th smallest of n good scores, exceeded; +inf where n is too small to tell
    (V. Vovk et al., Algorithmic Learning in a Random World, 2005: inductive conformal prediction).

    Args:
        rate: allowed false-alarm rate, in (0, 1).
    """
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"a false-alarm rate lies in (0, 1), got {rate}")

    def choose(scores: Scores, truth: Truth) -> float:
        good = np.sort(scores[~truth])
        place = math.ceil((1.0 - rate) * (good.size + 1) - 1e-9)
        return math.inf if place > good.size else float(np.nextafter(good[place - 1], np.inf))

    return choose


def on_other_half(
    scores: Scores, truth: Truth, groups: Sequence[str], choose: Chooser, *, seed: int = 0
) -> tuple[Truth, tuple[float, ...]] | None:
    """Choose a threshold on one half of the images and apply it to the other, both ways.

    Args:
        scores: (n,) finite or infinite.
        truth: (n,) labels.
        groups: (n,) images of one group stay in one half.
        choose: the rule.
        seed: of the halves, which hold equal shares of defective images as far as groups allow.

    Returns:
        (n,) answers and the two thresholds; None where a class has no two groups to share.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    named = np.array(groups, dtype=str)
    if min(np.unique(named[truth]).size, np.unique(named[~truth]).size) < 2:
        return None
    called, found = np.zeros(truth.size, dtype=bool), []
    halves = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=seed)
    for validation, test in halves.split(scores[:, None], truth, named):
        found.append(choose(scores[validation], truth[validation]))
        called[test] = scores[test] >= found[-1]
    return called, tuple(found)


def decisions(
    scores: Scores,
    truth: Truth,
    groups: Sequence[str],
    *,
    costs: Costs,
    rate: float,
    labels: Truth | None = None,
    seed: int = 0,
) -> Iterator[Decision]:
    """Yield what every way to set a threshold leads to; only the first is an oracle.

    Args:
        scores: (n,) image scores.
        truth: (n,) labels.
        groups: (n,) images that must not be split apart.
        costs: of a wrong answer.
        rate: false-alarm rate of the rule that sees good images alone.
        labels: (n,) the pipeline's own answers, where it has any.
        seed: of the halves.
    """
    best = least_cost(costs)(scores, truth)
    yield decide("oracle: least cost on these images", scores >= best, truth, costs, threshold=best)
    rules = {
        "validation half, labelled: least cost": least_cost(costs),
        f"validation half, good images alone: {rate:.3g} alarms": good_quantile(rate),
    }
    for name, choose in rules.items():
        found = on_other_half(scores, truth, groups, choose, seed=seed)
        if found is not None:
            yield decide(name, found[0], truth, costs)
    if labels is not None:
        yield decide("the pipeline's own labels", labels, truth, costs)
    yield decide("all called defective", np.ones_like(truth), truth, costs)
    yield decide("all called good", np.zeros_like(truth), truth, costs)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far scores are probabilities."""

    brier: float
    """Mean squared distance of score and label; a constant score of the share s of defective images has s·(1 − s)."""
    error: float
    """Expected calibration error: mean distance of score and share of defective images, over the bins."""
    score: Scores
    """(B,) mean score of each bin that is not empty."""
    share: Scores
    """(B,) share of defective images in it."""
    n: NDArray[np.int64]
    """(B,) images in it."""


def calibration(scores: Scores, truth: Truth, *, bins: int = 10) -> Calibration | None:
    """Compare scores with shares of defective images in equal bins; None where a score lies outside [0, 1].

    References: G. W. Brier, Monthly Weather Review 78, 1950; C. Guo et al., ICML 2017 (expected calibration error).
    """
    if not scores.size or not ((scores >= 0.0) & (scores <= 1.0)).all():
        return None
    place = np.minimum((scores * bins).astype(int), bins - 1)
    n = np.bincount(place, minlength=bins)
    some = n > 0
    mean, share = (np.bincount(place, weights=v, minlength=bins)[some] / n[some] for v in (scores, truth.astype(float)))
    return Calibration(
        brier=float(np.mean((scores - truth) ** 2)),
        error=float(np.sum(n[some] * np.abs(mean - share)) / scores.size),
        score=mean,
        share=share,
        n=n[some],
    )
