"""Answers that look at no image: the rows without which an image-level score means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmark.config.pipeline import ImageResults, Pipeline, Plan, Use
from benchmark.core.samples import Prediction
from benchmark.results.schema import BaselineRecord

if TYPE_CHECKING:
    from benchmark.stages.context import Context

Policy = Literal["always_defective", "always_good", "prevalence"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


class Constant(Pipeline):
    """A pipeline that gives every image the same answer, or a random one.

    It says nothing of pixels: pixel metrics are undefined for it.
    """

    policy: Policy
    """``prevalence`` calls an image defective at random, as often as the dataset's images are."""

    def refuses(self, use: Use) -> str | None:
        """Refuse tiles, of which it sees none, and ``prevalence`` without labels."""
        if use == "tiles":
            return "it looks at no image"
        return "the prevalence is that of labels" if self.policy == "prevalence" else None

    def plan(self, context: Context) -> Plan:
        """Plan a label and an image score in [0, 1] for every sample, without reading its image.

        ``prevalence`` draws the score uniformly by the run's seed and calls the image defective
        above 1 - (share of defective images among the samples).
        """
        if self.policy != "prevalence":
            defective = self.policy == "always_defective"
            answer = Prediction(image_score=float(defective), label=defective)
            return Plan(predict=lambda _: answer)
        samples = context.samples
        scores = np.random.default_rng(context.seed).random(len(samples))
        cut = 1 - sum(s.defective for s in samples) / max(len(samples), 1)
        place = {sample.id: at for at, sample in enumerate(samples)}

        def drawn(one: ImageResults) -> Prediction:
            score = float(scores[place[one.sample.id]])
            return Prediction(image_score=score, label=score >= cut)

        return Plan(predict=drawn)


def baseline_rows(labels: Sequence[bool]) -> list[BaselineRecord]:
    """Return what the three constant answers reach on these labels, without a run.

    The values of the two fixed answers are exact; those of ``prevalence`` are exact expectations over
    its random labels (of ``precision``: over the draws in which it is defined).

    Args:
        labels: True for a defective image.

    Returns:
        One row per policy: values in [0, 1], None where undefined, of f1, f2, precision, recall and accuracy.
    """
    n_pos, n = sum(map(bool, labels)), len(labels)
    return [BaselineRecord(policy=policy, values=_values(policy, n_pos, n)) for policy in POLICIES]


def _values(policy: Policy, n_pos: int, n: int) -> dict[str, float | None]:
    share = n_pos / n if n else 0.0
    rate = {"always_defective": 1.0, "always_good": 0.0, "prevalence": share}[policy]
    return {
        "f1": _expected_f(1, n_pos, n, rate),
        "f2": _expected_f(2, n_pos, n, rate),
        "precision": share if rate and n else None,
        "recall": rate if n_pos else None,
        "accuracy": rate * share + (1 - rate) * (1 - share) if n else None,
    }


def _expected_f(beta: int, n_pos: int, n: int, rate: float) -> float | None:
    """Return the expected F-beta of labels drawn independently, each defective with probability ``rate``.

    F = (1 + b²)·TP / (b²·P + K) where K = TP + FP is binomial(n, rate), and given K the mean of TP
    is K·P/n; so the expectation is a sum over K alone.
    """
    if not n_pos:
        return None
    called = np.arange(n + 1)
    chance = _binomial(n, rate)
    true_positives = called * (n_pos / n)
    return float(np.sum(chance * (1 + beta**2) * true_positives / (beta**2 * n_pos + called)))


def _binomial(n: int, rate: float) -> NDArray[np.float64]:
    """Return the chances of 0..n successes among n; scipy.stats has them too, but takes a second to import."""
    called = np.arange(n + 1)
    if rate in (0.0, 1.0):
        certain: NDArray[np.float64] = (called == n * rate).astype(np.float64)
        return certain
    steps = np.log((n + 1 - called[1:]) / called[1:] * (rate / (1 - rate)))
    chances: NDArray[np.float64] = np.exp(n * np.log1p(-rate) + np.concatenate(([0.0], np.cumsum(steps))))
    return chances
