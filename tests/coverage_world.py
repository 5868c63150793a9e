"""A world of small images whose true metrics are known, to count how often an interval holds them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metric_record import MetricRecord
from tests.protocols import protocol

METRICS = (
    "ap", "f1_max", "auroc", "iou", "recall", "precision", "f1", "f2", "balanced_accuracy", "image_ap", "image_auroc",
    "image_f1_max", "image_f2_max",
)  # fmt: skip
SIDE = 10
DEFECT = 20
"""Defect pixels of a defective image."""
POPULATION = 10_000


def images(
    rng: np.random.Generator, defective: Sequence[bool], *, lift: float = 0.0
) -> Iterator[tuple[bool, Prediction, GroundTruth]]:
    """Draw images, hard or easy each, with few-valued score maps, masks and labels; ``lift`` raises defects' scores."""
    for bad in defective:
        ease = rng.normal(2.2 + lift, 1.0)
        scores = rng.normal(0.0, 1.0, (SIDE, SIDE)) + rng.normal(0.0, 0.5)
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        if bad:
            mask.flat[:DEFECT] = True
            scores[mask] += ease
        drawn = np.clip(np.round(scores * 2.0), -6, 12).astype(np.float32)
        score = float(rng.normal(1.5 + lift if bad else 0.0, 1.0))
        found = Prediction(score_map=drawn, mask=drawn >= 3, image_score=round(score, 1), label=score > 0.9)
        yield bad, found, GroundTruth(mask=mask)


def evaluated(
    rng: np.random.Generator,
    categories: Sequence[Sequence[bool]],
    *,
    resamples: int,
    seed: int = 0,
    names: Sequence[str] = METRICS,
    lifts: Sequence[float] = (),
) -> Evaluation:
    """Evaluate categories of images, given as whether each image is defective."""
    evaluation = Evaluation(protocol(resamples=resamples, pooled=False), names, seed=seed)
    for number, defective in enumerate(categories):
        lift = lifts[number] if lifts else 0.0
        for at, (bad, found, truth) in enumerate(images(rng, defective, lift=lift)):
            sample = Sample(
                id=f"{number}/{at:05d}", image=Path("x"), mask=None, defective=bad, category=f"c{number:03d}",
                defect_type="bad" if bad else "good", group=f"{number}/{at}", split="test", sha256="0",
            )  # fmt: skip
            evaluation.add(sample, found, truth)
    return evaluation


@functools.cache
def true_values(share: float, lift: float = 0.0) -> dict[str, float]:
    """Metrics of a large population of which ``share`` is defective."""
    defective = np.arange(POPULATION) < round(share * POPULATION)
    rows = evaluated(np.random.default_rng(12345), [defective.tolist()], resamples=0, lifts=[lift]).report()
    return {r.metric: r.value for r in rows if r.category == "mean" and r.value is not None}


@functools.cache
def expected_values(bad: int, good: int, lift: float) -> dict[str, float]:
    """Mean value of categories of this size: what a mean over many of them estimates."""
    categories = [[True] * bad + [False] * good] * (POPULATION // (bad + good))
    rows = evaluated(np.random.default_rng(54321), categories, resamples=0, lifts=[lift] * len(categories)).report()
    return {r.metric: r.value for r in rows if r.category == "mean" and r.value is not None}


def holds(row: MetricRecord, true: float) -> bool | None:
    """Whether an interval holds the truth; None where there is none."""
    return None if row.low is None or row.high is None else row.low <= true <= row.high


def single(*, n: int, share: float, trials: int, resamples: int = 1000, seed: int = 0) -> dict[str, list[bool | None]]:
    """Metric -> for each trial whether the interval over n images, a random share defective, holds the truth."""
    rng, found = np.random.default_rng([seed, n, int(100 * share)]), dict[str, list[bool | None]]()
    true = true_values(share)
    for trial in range(trials):
        defective = (rng.random(n) < share).tolist()
        for row in evaluated(rng, [defective], resamples=resamples, seed=trial).report():
            if row.category == "mean" and row.value is not None:
                assert row.low is None or row.high is None or row.low <= row.value <= row.high
                found.setdefault(row.metric, []).append(holds(row, true[row.metric]))
    return found


def means(
    *, categories: int, bad: int, good: int, trials: int, resamples: int = 1000, seed: int = 0
) -> dict[str, list[bool | None]]:
    """The same for means over categories of ``bad`` defective and ``good`` good images, of different difficulty.

    The truth is the mean value of categories of the same size: a maximum over thresholds of few images is larger
    than that of many, whatever its interval.
    """
    rng, found = np.random.default_rng([seed, categories, bad, good]), dict[str, list[bool | None]]()
    kinds = [round(float(lift), 3) for lift in np.linspace(-0.6, 0.6, 5)]
    truths = [expected_values(bad, good, lift) for lift in kinds]
    for trial in range(trials):
        lifts = [kinds[k % 5] for k in range(categories)]
        given = [[True] * bad + [False] * good] * categories
        for row in evaluated(rng, given, resamples=resamples, seed=trial, lifts=lifts).report():
            if row.category == "mean" and row.value is not None:
                true = float(np.mean([truths[k % 5][row.metric] for k in range(categories)]))
                found.setdefault(row.metric, []).append(holds(row, true))
    return found


def summary(found: dict[str, list[bool | None]]) -> tuple[dict[str, float], float, float]:
    """Return the coverage of each metric with 20 intervals or more, that of all, and the share without one."""
    known = {m: [h for h in hits if h is not None] for m, hits in found.items()}
    rates = {m: sum(hits) / len(hits) for m, hits in known.items() if len(hits) >= 20}
    given, every = sum(map(len, known.values())), sum(map(len, found.values()))
    covered = sum(map(sum, known.values())) / given if given else float("nan")
    return rates, covered, 1.0 - given / max(1, every)
