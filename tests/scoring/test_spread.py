"""Intervals: of the right kind, never without their value, none where there are too few images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.scoring.estimates import Estimate
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics import intervals
from benchmark.scoring.spread import interval_of, interval_of_mean
from tests.coverage_world import single, summary
from tests.protocols import protocol


def labelled(
    names: list[str], categories: list[tuple[int, int]], *, called: str = "defective", **changes: object
) -> dict[tuple[str, str], MetricRecord]:
    """Report on categories of so many defective and good images, called all defective, or rightly."""
    evaluation = Evaluation(protocol(**{"resamples": 200, **changes}), names, seed=0)
    for number, (bad, good) in enumerate(categories):
        for at in range(bad + good):
            defective = at < bad
            sample = Sample(
                id=f"{number}/{at}", image=Path("x"), mask=None, defective=defective, category=f"c{number:02d}",
                defect_type="x", group=f"{number}/{at}", split="test", sha256="0",
            )  # fmt: skip
            label = True if called == "defective" else defective
            truth = GroundTruth(mask=np.full((2, 2), defective))
            evaluation.add(sample, Prediction(label=label, image_score=float(label)), truth)
    return {(r.metric, r.category): r for r in evaluation.report()}


def test_a_mean_over_tiny_categories_holds_its_value() -> None:
    """The case of KSDD1's items: 50 of one defective and seven good images, all called defective."""
    row = labelled(["f2"], [(1, 7)] * 50)["f2", "mean"]
    assert row.value == pytest.approx(5 / 12)
    assert row.low is not None and row.high is not None
    assert row.low < row.value < row.high and row.high - row.low < 0.2


@pytest.mark.parametrize("bad", [1, 2, 5, 20])
def test_a_perfect_recall_has_wilsons_interval(bad: int) -> None:
    row = labelled(["recall"], [(bad, 30)])["recall", "mean"]
    expected = binomtest(bad, bad).proportion_ci(0.95, method="wilson")
    assert (row.value, row.high) == (1.0, 1.0)
    assert row.low == pytest.approx(expected.low)
    assert labelled(["recall"], [(1, 7)])["recall", "c00"].low == pytest.approx(0.2065, abs=1e-4)


def test_precision_and_balanced_accuracy_have_wilsons_interval_too() -> None:
    found = labelled(["precision", "balanced_accuracy"], [(6, 18)])
    expected = binomtest(6, 24).proportion_ci(0.95, method="wilson")
    row = found["precision", "mean"]
    assert (row.low, row.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    both = found["balanced_accuracy", "mean"]
    assert both.value == 0.5
    one, other = binomtest(6, 6), binomtest(0, 18)
    below = math.hypot(1 - one.proportion_ci(0.95, "wilson").low, 0) / 2
    above = math.hypot(0, other.proportion_ci(0.95, "wilson").high) / 2
    assert (both.low, both.high) == (pytest.approx(0.5 - below), pytest.approx(0.5 + above))


@pytest.mark.parametrize(("bad", "good", "rarer"), [(1, 7, 1), (4, 40, 4), (40, 4, 4), (3, 3, 3)])
def test_below_five_images_of_the_rarer_class_there_is_no_interval(bad: int, good: int, rarer: int) -> None:
    found = labelled(["f2", "image_auroc", "image_ap"], [(bad, good)], called="rightly")
    for row in found.values():
        assert row.value == 1.0
        assert (row.low, row.high) == (None, None)
        assert row.no_interval is not None and f"{rarer} image" in row.no_interval


@pytest.mark.parametrize("bad", [5, 12, 60])
def test_what_no_resample_changes_is_not_certain(bad: int) -> None:
    found = labelled(["f2", "image_auroc", "image_ap", "f1"], [(bad, 100)], called="rightly")
    for row in found.values():
        assert (row.value, row.high) == (1.0, 1.0)
        assert row.low == pytest.approx(bad / (bad + 3.8415), abs=1e-4)


def test_one_class_alone_is_the_rarer_one() -> None:
    assert [intervals.rarer_class(*pair) for pair in ((0, 9), (9, 0), (3, 9), (0, 0))] == [9, 9, 3, 0]


def test_few_tiny_categories_have_no_interval() -> None:
    row = labelled(["f2"], [(1, 7)] * 4)["f2", "mean"]
    assert row.low is None and row.no_interval is not None and "4 categories" in row.no_interval


def test_a_mean_over_tiny_categories_is_students() -> None:
    values = np.array([0.2, 0.9, 0.5, 0.6, 0.7, 0.4])
    estimates = [estimate(v, rarer=2) for v in values]
    mean = estimate(float(values.mean()), rarer=12)
    ends = interval_of_mean(mean, estimates, protocol())
    reach = 2.5706 * values.std(ddof=1) / math.sqrt(6)
    assert (ends.low, ends.high) == (pytest.approx(0.55 - reach, abs=1e-4), pytest.approx(0.55 + reach, abs=1e-4))


def estimate(value: float, *, rarer: int, replicates: np.ndarray | None = None) -> Estimate:
    drawn = np.full(9, value) if replicates is None else replicates
    return Estimate(
        value=value, reason=None, n=2 * rarer, n_defective=rarer, n_skipped=0, threshold=None, replicates=drawn,
        rarer=rarer,
    )  # fmt: skip


def test_a_value_outside_its_resamples_is_still_inside_its_interval() -> None:
    rng = np.random.default_rng(0)
    for value in (0.0, 0.3, 0.9, 1.0):
        drawn = np.clip(rng.normal(0.6, 0.02, 400), 0, 1)
        one = interval_of(estimate(value, rarer=30, replicates=drawn), protocol())
        assert one.low is not None and one.high is not None and 0 <= one.low <= value <= one.high <= 1
        mean = estimate(value, rarer=30, replicates=drawn)
        ends = interval_of_mean(mean, [mean, estimate(value, rarer=8)], protocol())
        assert ends.low is not None and ends.high is not None and 0 <= ends.low <= value <= ends.high <= 1
        assert ends.high - ends.low < 0.25, "centred on the value, not stretched to it"


def test_intervals_of_few_images_are_wider() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.1, 5000)
    widths = []
    for n in (5, 20, 1000):
        ends = intervals.expanded(drawn, confidence=0.95, n=n)
        assert ends.low is not None and ends.high is not None
        widths.append(ends.high - ends.low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] == pytest.approx(4 * 0.098, rel=0.05)
    with pytest.raises(ValueError, match="confidence"):
        intervals.expanded(drawn, confidence=95, n=9)


def test_images_without_defect_pixels_do_not_count_as_defective_for_pixels() -> None:
    evaluation = Evaluation(protocol(resamples=50), ["ap", "f2"], seed=0)
    rng = np.random.default_rng(0)
    for at in range(40):
        sample = Sample(
            id=str(at), image=Path("x"), mask=None, defective=at < 20, category="c", defect_type="x", group=str(at),
            split="test", sha256="0",
        )  # fmt: skip
        mask = np.zeros((4, 4), dtype=bool)
        mask[0] = at < 3
        found = Prediction(score_map=rng.random((4, 4)), label=at < 18)
        evaluation.add(sample, found, GroundTruth(mask=mask))
    rows = {r.metric: r for r in evaluation.report() if r.category == "c"}
    assert rows["ap"].low is None and "3 images of the rarer class" in str(rows["ap"].no_interval)
    assert rows["f2"].low is not None


def test_a_pool_of_categories_of_one_image_is_resampled_at_once() -> None:
    evaluation = Evaluation(protocol(resamples=200), ["f2"], seed=0)
    for at in range(40):
        sample = Sample(
            id=str(at), image=Path("x"), mask=None, defective=at % 2 == 0, category=f"c{at}", defect_type="x",
            group=str(at), split="test", sha256="0",
        )  # fmt: skip
        evaluation.add(sample, Prediction(label=at % 3 == 0), GroundTruth(mask=np.full((2, 2), at % 2 == 0)))
    (row,) = [r for r in evaluation.report() if r.category == "pooled"]
    assert row.low is not None and row.value is not None and row.high is not None
    assert row.low < row.value < row.high


def test_intervals_cover_the_truth() -> None:
    """A fast part of ``tests/perf/interval_coverage.py``, which prints every size."""
    _, covered, without = summary(single(n=40, share=0.3, trials=40, resamples=400))
    assert covered >= 0.92 and without <= 0.05


def test_the_mean_of_proportions_is_wilsons_of_as_many_trials_as_it_rests_on() -> None:
    row = labelled(["recall"], [(6, 6)] * 10)["recall", "mean"]
    assert row.low == pytest.approx(60 / (60 + 3.8415), abs=1e-4)
    ends = intervals.wilson([[(3, 10), (7, 10)]], confidence=0.95)
    expected = binomtest(10, 20).proportion_ci(0.95, method="wilson")
    assert (ends.low, ends.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
