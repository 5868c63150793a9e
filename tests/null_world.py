"""Two runs over the same images that are equally good, or one of them better, and how a comparison judges them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.report.papers.significance import holm
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metrics.swap import Swapped
from benchmark.scoring.swap_parts import swapped
from tests.protocols import protocol

METRICS = ("ap", "f1_max", "auroc", "iou", "recall", "f2", "image_ap", "image_auroc")
SIDE, DEFECT = 8, 12


def two_runs(
    rng: np.random.Generator,
    categories: Sequence[tuple[int, int]],
    *,
    better: float = 0.0,
    names: Sequence[str] = METRICS,
    resamples: int = 1,
) -> tuple[Evaluation, Evaluation]:
    """Evaluate two runs that find the same images hard; the second has its scores on a scale of its own.

    Args:
        rng: random numbers.
        categories: defective and good images of each.
        better: how much the first run lifts defects above the second; 0 is the null hypothesis.
        names: metrics.
        resamples: of the images, for intervals.
    """
    found = tuple(Evaluation(protocol(resamples=resamples, pooled=False), names, seed=0) for _ in range(2))
    for number, (bad, good) in enumerate(categories):
        for at in range(bad + good):
            defective = at < bad
            mask = np.zeros((SIDE, SIDE), dtype=bool)
            mask.flat[:DEFECT] = defective
            truth = GroundTruth(mask=mask)
            sample = Sample(
                id=f"{number}/{at:04d}", image=Path("x"), mask=None, defective=defective, category=f"c{number:02d}",
                defect_type="x", group=f"{number}/{at}", split="test", sha256="0",
            )  # fmt: skip
            hard, shared = rng.normal(1.5, 0.8), rng.normal(0.0, 1.0, mask.shape)
            for run, evaluation in enumerate(found):
                lift = hard + better * (run == 0)
                scores = shared + rng.normal(0.0, 0.7, mask.shape) + lift * mask
                score = float(rng.normal(1.2 + lift - 1.5 if defective else 0.0, 1.0))
                drawn = np.round(scores * 3.0).astype(np.float32)
                evaluation.add(
                    sample,
                    Prediction(
                        score_map=drawn if run == 0 else np.exp(drawn / 4.0),
                        mask=drawn >= 3,
                        image_score=score if run == 0 else 100.0 * score - 7.0,
                        label=score > 0.6,
                    ),
                    truth,
                )  # fmt: skip
    return found[0], found[1]


def judged(first: Evaluation, second: Evaluation, *, permutations: int, seed: int) -> dict[tuple[str, str], float]:
    """P-values of every metric of every category, and of the means, as ``compare`` takes them."""
    one, two = first.all_parts(), second.all_parts()
    rng, found, every = np.random.default_rng([77, seed]), dict[tuple[str, str], float](), dict[str, list[Swapped]]()
    for category in first.categories:
        a, b = ({kind: v for (kind, of), v in parts.items() if of == category} for parts in (one, two))
        swaps = rng.integers(0, 2, (permutations, a["labels"]["used"].size), dtype=np.uint8)
        for name, result in swapped(a, b, first.specs, first.protocol, swaps=swaps).items():
            found[name, category] = result.p
            every.setdefault(name, []).append(result)
    for name, results in every.items():
        gaps = np.stack([r.permuted for r in results]).mean(axis=0)
        found[name, "mean"] = Swapped(observed=float(np.mean([r.observed for r in results])), permuted=gaps).p
    return found


def rejections(
    *, bad: int, good: int, trials: int, better: float = 0.0, permutations: int = 399, seed: int = 0
) -> dict[str, float]:
    """Metric -> share of trials in which one category of such images is judged different at 5 %."""
    rng = np.random.default_rng([seed, bad, good])
    hits: dict[str, list[bool]] = {}
    for trial in range(trials):
        runs = two_runs(rng, [(bad, good)], better=better)
        for (name, category), p in judged(*runs, permutations=permutations, seed=trial).items():
            if category == "mean":
                hits.setdefault(name, []).append(p <= 0.05)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def by_interval(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> float:
    """P-value of the paired percentile interval of replicates: 1 less the confidence at which it just holds 0."""
    assert first is not None and second is not None
    gaps = (first - second)[np.isfinite(first - second)]
    if not gaps.size:
        return 1.0
    beyond = min(np.count_nonzero(gaps <= 0), np.count_nonzero(gaps >= 0))
    return float(min(1.0, 2.0 * (1 + beyond) / (1 + gaps.size)))


def both_tests(
    *, bad: int, good: int, trials: int, better: float, draws: int = 399, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """P-values of the image-swap test (``swap``) and the ``interval`` on the same runs, (trials, metrics)."""
    rng = np.random.default_rng([seed, bad, good])
    found: dict[str, list[list[float]]] = {"swap": [], "interval": []}
    for trial in range(trials):
        runs = two_runs(rng, [(bad, good)], better=better, resamples=draws)
        swaps = judged(*runs, permutations=draws, seed=trial)
        found["swap"].append([swaps[name, "mean"] for name in METRICS])
        found["interval"].append([by_interval(*(run.replicates(name) for run in runs)) for name in METRICS])
    return {test: np.array(rows) for test, rows in found.items()}


def power_at_level(null: NDArray[np.float64], other: NDArray[np.float64], *, level: float = 0.05) -> float:
    """Mean over metrics of the power of a test whose p-value is cut where it rejects ``level`` of equal runs.

    A test that rejects too often has power that is not its own: cut at the same true level, tests compare.
    """
    cuts = np.quantile(null, level, axis=0, method="lower")
    # p-values are few and tied: a cut that rejects more than the level goes below it
    over = np.mean(null <= cuts, axis=0) > level + 1e-9
    return float(np.mean(np.where(over, other < cuts, other <= cuts)))


def false_tables(*, categories: int, bad: int, good: int, trials: int, permutations: int = 9999) -> tuple[float, float]:
    """Share of null tables over categories and metrics with a false star: corrected by Holm, and not."""
    rng = np.random.default_rng([1, categories, bad, good])
    starred = plain = 0
    for trial in range(trials):
        p = judged(*two_runs(rng, [(bad, good)] * categories), permutations=permutations, seed=trial)
        starred += min(holm(p).values()) <= 0.05
        plain += min(p.values()) <= 0.05
    return starred / trials, plain / trials
