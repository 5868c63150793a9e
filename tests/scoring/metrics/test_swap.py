"""Image-swap permutation: right by hand, blind to scales, holding its level, kept and read with a run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmark.report.papers.significance import holm
from benchmark.scoring.metrics import swap
from benchmark.scoring.metrics.labels import f_beta, recall
from benchmark.scoring.metrics.swap import Swapped
from benchmark.scoring.swap_parts import swapped
from tests.null_world import METRICS, judged, rejections, two_runs


def labels(called: list[int], defective: list[int]) -> dict[str, np.ndarray]:
    parts = {"called": np.array(called, dtype=bool), "defective": np.array(defective, dtype=bool)}
    return swap.spread_out(parts, range(len(called)), len(called))


def test_every_permutation_by_hand() -> None:
    defective = [1, 1, 1, 0]
    one, two = labels([1, 1, 1, 0], defective), labels([0, 0, 1, 1], defective)
    swaps = np.array(list(itertools.product((0, 1), repeat=4)), dtype=np.uint8)
    found = swap.permuted(one, two, {"recall": recall}, source="labels", swaps=swaps)["recall"]
    assert found.observed == pytest.approx(2 / 3)
    expected = [((1 - a) + (1 - b) - a - b) / 3 for a, b, _, _ in swaps.astype(int)]
    np.testing.assert_allclose(found.permuted, expected)
    assert found.p == pytest.approx((1 + 8) / 17)


def test_runs_that_do_not_differ_have_p_1() -> None:
    first, _ = two_runs(np.random.default_rng(0), [(6, 8)])
    found = judged(first, first, permutations=50, seed=0)
    assert {name for name, _ in found} == set(METRICS)
    assert set(found.values()) == {1.0}


def test_an_undefined_permutation_counts_as_large() -> None:
    assert Swapped(observed=0.5, permuted=np.array([np.nan, 0.1, 0.1])).p == 0.5
    assert Swapped(observed=0.5, permuted=np.array([-0.5, 0.1, 0.1])).p == 0.5


def test_swapping_is_blind_to_the_scale_of_the_scores() -> None:
    rng = np.random.default_rng(2)
    scores, defective = rng.normal(size=30), np.arange(30) < 10
    one = swap.spread_out(swap.score_parts(scores, defective), range(30), 30)
    two = swap.spread_out(swap.score_parts(np.exp(scores) * 1e4, defective), range(30), 30)
    np.testing.assert_array_equal(one["rank"], two["rank"])
    with_inf = swap.score_parts(np.where(np.arange(30) == 3, np.inf, scores), defective)
    assert with_inf["rank"].max() == with_inf["rank"][3] == 1.0


def test_images_that_were_left_out_add_nothing() -> None:
    whole = labels([1, 0, 1], [1, 1, 0])
    parts = swap.spread_out({"called": np.array([True, True]), "defective": np.array([True, False])}, [0, 2], 3)
    assert parts["used"].tolist() == [True, False, True]
    found = swap.permuted(
        parts, whole, {"recall": recall}, source="labels", swaps=np.zeros((1, 3), np.uint8)
    )["recall"]  # fmt: skip
    assert found.observed == 0.5


def test_the_observed_difference_is_that_of_the_runs() -> None:
    first, second = two_runs(np.random.default_rng(1), [(12, 20)], better=0.5)
    one, two = ({kind: v for (kind, _), v in run.all_parts().items()} for run in (first, second))
    found = swapped(one, two, first.specs, first.protocol, swaps=np.zeros((1, 32), np.uint8))
    values = [{r.metric: r.value for r in run.report() if r.category == "mean"} for run in (first, second)]
    for name, result in found.items():
        assert result.permuted[0] == pytest.approx(result.observed)
        tolerance = 0.01 if name in ("ap", "f1_max", "auroc") else 1e-9  # pixels are counted at 128 thresholds
        assert result.observed == pytest.approx(values[0][name] - values[1][name], abs=tolerance), name


def test_variants_masks_and_regional_overlap_have_parts_too() -> None:
    names = ("ap", "aupro", "f1_max_linspace100", "f1_max_21", "aupro_200step", "iou_pooled", "max_iou")
    first, second = two_runs(np.random.default_rng(4), [(6, 8), (7, 9)], better=1.0, names=(*names, "f2"))
    found = judged(first, second, permutations=99, seed=0)
    assert {name for name, category in found if category == "mean"} == {*names, "f2"}
    assert all(0.0 < p <= 1.0 for p in found.values())
    assert found["ap", "mean"] <= 0.05


def test_holm_corrects_in_steps() -> None:
    p = {("a", "x"): 0.01, ("b", "x"): 0.04, ("c", "x"): 0.03, ("d", "x"): 0.005}
    corrected = holm(p)
    assert corrected == pytest.approx({("d", "x"): 0.02, ("a", "x"): 0.03, ("c", "x"): 0.06, ("b", "x"): 0.06})
    assert holm({}) == {}
    assert holm({("a", "x"): 0.7, ("b", "x"): 0.9})["b", "x"] == 1.0


def test_f_beta_of_permuted_labels_stays_defined() -> None:
    one, two = labels([1, 0, 0], [1, 0, 0]), labels([0, 0, 0], [1, 0, 0])
    swaps = np.array(list(itertools.product((0, 1), repeat=3)), dtype=np.uint8)
    found = swap.permuted(one, two, {"f1": lambda c: f_beta(c, beta=1.0)}, source="labels", swaps=swaps)["f1"]
    assert found.p == 1.0, "one image that differs proves nothing"


@pytest.mark.parametrize(("bad", "good"), [(1, 7), (3, 7), (8, 16)])
def test_equal_runs_are_seldom_judged_different(bad: int, good: int) -> None:
    """A fast part of ``tests/perf/null.py``; 5 % of 60 is 3."""
    found = rejections(bad=bad, good=good, trials=60, permutations=99)
    assert sum(found.values()) / len(found) <= 0.08
    assert max(found.values()) <= 0.16
