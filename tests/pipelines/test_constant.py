"""The constant answers, as a pipeline and as rows beside a result."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.samples import Manifest, Sample
from benchmark.pipelines.constant import POLICIES, Constant, _binomial, baseline_rows
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import plan_of


def samples(labels: list[bool]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            id=f"{i}.png",
            image=Path(f"absent/{i}.png"),
            mask=None,
            defective=defective,
            category="toy",
            defect_type="scratch" if defective else "good",
            group=str(i),
            split="test",
            sha256=f"{i:064x}",
        )
        for i, defective in enumerate(labels)
    )


def predict(policy: str, labels: list[bool], tmp_path: Path, *, seed: int = 0) -> list[tuple[bool, float]]:
    chosen = samples(labels)
    context = Context(
        manifest=Manifest(dataset="toy", samples=chosen), samples=chosen, store=Store(tmp_path / "store"), seed=seed
    )
    pipeline = Constant(policy=policy)
    assert list(plan_of(pipeline, context).distinct) == []
    pairs = harness.predict(pipeline, context)
    assert [sample.id for sample, _ in pairs] == [sample.id for sample in chosen]
    return [(bool(p.label), float(p.image_score or 0)) for _, p in pairs]


def f_beta(truth: tuple[bool, ...], called: tuple[bool, ...], beta: int) -> float:
    tp = sum(t and c for t, c in zip(truth, called, strict=True))
    fn = sum(t and not c for t, c in zip(truth, called, strict=True))
    fp = sum(c and not t for t, c in zip(truth, called, strict=True))
    return (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)


def test_the_fixed_answers_read_no_image(tmp_path: Path) -> None:
    labels = [True, False, False]
    assert predict("always_defective", labels, tmp_path) == [(True, 1.0)] * 3
    assert predict("always_good", labels, tmp_path) == [(False, 0.0)] * 3


def test_prevalence_is_seeded_and_near_the_share(tmp_path: Path) -> None:
    labels = [i % 10 == 0 for i in range(2000)]
    first = predict("prevalence", labels, tmp_path, seed=3)
    assert first == predict("prevalence", labels, tmp_path, seed=3)
    assert first != predict("prevalence", labels, tmp_path, seed=4)
    assert 140 < sum(label for label, _ in first) < 260
    called = [score for label, score in first if label]
    passed = [score for label, score in first if not label]
    assert min(called) > max(passed)


@pytest.mark.parametrize(("n_pos", "n_good", "expected"), [(32, 231, 160 / 391), (60, 140, 300 / 440), (5, 0, 1.0)])
def test_always_defective_has_its_closed_form(n_pos: int, n_good: int, expected: float) -> None:
    rows = {row.policy: row.values for row in baseline_rows([True] * n_pos + [False] * n_good)}
    assert set(rows) == set(POLICIES)
    assert rows["always_defective"]["f2"] == pytest.approx(expected, abs=1e-12)
    assert rows["always_defective"]["recall"] == 1
    assert rows["always_good"]["f2"] == 0
    assert rows["always_good"]["precision"] is None


@given(st.lists(st.booleans(), min_size=1, max_size=7))
def test_prevalence_is_the_expectation_over_all_label_draws(truth: list[bool]) -> None:
    values = baseline_rows(truth)[2].values
    if not any(truth):
        assert values["f1"] is None
        assert values["f2"] is None
        return
    rate = sum(truth) / len(truth)
    for beta in (1, 2):
        expected = 0.0
        for called in product([False, True], repeat=len(truth)):
            chance = rate ** sum(called) * (1 - rate) ** (len(truth) - sum(called))
            expected += chance * f_beta(tuple(truth), called, beta)
        assert values[f"f{beta}"] == pytest.approx(expected, abs=1e-12)


def test_no_labels_or_no_defect_is_undefined() -> None:
    for row in baseline_rows([False, False]):
        assert row.values["f2"] is None
        assert row.values["recall"] is None
    assert all(value is None for row in baseline_rows([]) for value in row.values.values())


@pytest.mark.parametrize("n", [1, 2, 10, 263, 5000])
@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.122, 0.5, 0.9999, 1.0])
def test_binomial_chances_are_those_of_scipy(n: int, rate: float) -> None:
    from scipy.stats import binom

    np.testing.assert_allclose(_binomial(n, rate), binom.pmf(np.arange(n + 1), n, rate), rtol=1e-8, atol=1e-15)
