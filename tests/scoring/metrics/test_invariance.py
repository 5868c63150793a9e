"""What must not change any registered metric: every name of the registry goes through every test here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.scoring.estimates import estimate
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.kept_images import KeptImage
from benchmark.scoring.metrics import bootstrap
from benchmark.scoring.metrics.registry import METRICS
from tests.protocols import protocol
from tests.scoring.metrics.maps import KINDS, small_pool

NAMES = tuple(METRICS)
EXACT = tuple(n for n, s in METRICS.items() if s.grid is None and s.source != "each_image")
"""Functions of the order of scores."""
CASES = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from(["float32", "float64"]))


def sample(at: int, defective: bool, category: str = "only") -> Sample:
    return Sample(
        id=f"{category}/{at:03d}.png",
        image=Path("unused"),
        mask=None,
        defective=defective,
        category=category,
        defect_type="bad" if defective else "good",
        group=str(at),
        split="test",
        sha256="0",
    )


def answers(maps, masks, seed, *, transform=lambda s: s):
    """One sample, prediction and truth per map, with a binary mask, an image score and a label."""
    rng = np.random.default_rng(seed)
    made = []
    for at, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        called = rng.random(scores.shape) < 0.4
        label = bool(rng.random() < 0.5)
        image_score = float(transform(np.asarray(rng.integers(-3, 4), dtype=np.float64)))
        prediction = Prediction(score_map=transform(scores), mask=called, label=label, image_score=image_score)
        made.append((sample(at, bool(mask.any())), prediction, GroundTruth(mask=mask)))
    return made


def evaluated(made, names=NAMES, **options):
    evaluation = Evaluation(protocol(resamples=0, **options), names, seed=0)
    for one in made:
        evaluation.add(*one)
    return evaluation


def values(evaluation):
    return {(v.metric, v.category): v.value for v in evaluation.report()}


def assert_same(first, second, *, tolerance=1e-12):
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert (value is None) == (second[key] is None), key
        if value is not None:
            assert value == pytest.approx(second[key], abs=tolerance), key


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_the_order_of_images_changes_nothing(case):
    made = answers(*small_pool(*case, images=4), case[0])
    assert_same(values(evaluated(made)), values(evaluated(made[::-1])))


@settings(max_examples=40, deadline=None)
@given(CASES, st.sampled_from(["double", "cube", "exponential"]))
def test_a_strictly_monotone_rescaling_of_scores_changes_no_exact_metric(case, name):
    maps, masks = small_pool(case[0], case[1], "float64", images=3)
    # few distinct scores, far enough apart that no transform merges two of them
    ranks = np.unique(np.concatenate([m.ravel() for m in maps]))
    maps = [np.searchsorted(ranks, m) / ranks.size for m in maps]
    rescale = {"double": lambda s: 2 * s - 7, "cube": lambda s: (s + 4) ** 3, "exponential": np.exp}[name]
    plain, rescaled = (values(evaluated(answers(maps, masks, 1, transform=t), EXACT)) for t in (lambda s: s, rescale))
    assert_same(plain, rescaled)


@settings(max_examples=25, deadline=None)
@given(CASES)
def test_a_duplicated_image_equals_weight_two(case):
    made = answers(*small_pool(*case, images=4), case[0])
    once = evaluated(made)._sorted("only")
    weights = np.array([[1.0, 2.0, 1.0, 3.0]])
    repeated: list[KeptImage] = [once[0], once[1], once[1], once[2], once[3], once[3], once[3]]
    specs = [METRICS[n] for n in NAMES if n != "ap_trapezoid"]
    weighted = estimate(once, specs, protocol=protocol(), weights=weights)
    duplicated = estimate(repeated, specs, protocol=protocol(), weights=None)
    for name, e in weighted.items():
        if np.isnan(duplicated[name].value):
            assert e.replicates is None or np.isnan(e.replicates[0]), name
        else:
            assert e.replicates is not None
            assert e.replicates[0] == pytest.approx(duplicated[name].value, abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_streaming_equals_all_pixels_in_one_map(case):
    maps, masks = small_pool(*case, images=3)
    names = [n for n, s in METRICS.items() if s.source == "pixels"]
    # an ignored row keeps the components of stacked images apart
    gap = np.zeros((1, maps[0].shape[1]))
    apart = [x for m in maps for x in (m, gap)]
    truth = [x for m in masks for x in (m, gap > 0)]
    ignore = [x for m in masks for x in (np.zeros(m.shape, dtype=bool), gap == 0)]
    whole = GroundTruth(mask=np.concatenate(truth), ignore=np.concatenate(ignore))
    made = (sample(0, True), Prediction(score_map=np.concatenate(apart)), whole)
    pieces = [
        (sample(i, True), Prediction(score_map=m.astype(np.float64)), GroundTruth(mask=t))
        for i, (m, t) in enumerate(zip(maps, masks, strict=True))
    ]
    assert_same(values(evaluated([made], names)), values(evaluated(pieces, names)))


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS[n].source != "each_image"])
def test_every_metric_is_undefined_with_a_reason_without_defects(name):
    maps = [np.random.default_rng(i).random((5, 6)) for i in range(3)]
    made = answers(maps, [np.zeros((5, 6), dtype=bool)] * 3, 0)
    for row in evaluated(made, [name]).report():
        if name == "precision":
            assert row.value == 0.0
            continue
        assert row.value is None
        assert row.reason
        assert row.low is None


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_undefined_with_a_reason_when_the_prediction_has_nothing_to_score(name):
    made = (sample(0, True), Prediction(), GroundTruth(mask=np.eye(4, dtype=bool)))
    rows = evaluated([made], [name]).report()
    assert all(r.value is None and r.reason and "1 of 1 image" in r.reason for r in rows)
    assert json.dumps([r.value for r in rows]) == "[null, null, null]"


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS[n].source != "choices"])
def test_every_metric_is_perfect_for_a_perfect_answer(name):
    mask = np.zeros((40, 40), dtype=bool)
    mask[3:9, 4:12] = True
    perfect = Prediction(score_map=mask.astype(np.float32), mask=mask, label=True, image_score=1.0)
    good = Prediction(score_map=np.zeros((40, 40), np.float32), mask=~mask & mask, label=False, image_score=0.0)
    clean = GroundTruth(mask=~mask & mask)
    made = [(sample(0, True), perfect, GroundTruth(mask=mask)), (sample(1, False), good, clean)]
    (value, *_) = [v.value for v in evaluated(made, [name]).report()]
    if name == "aupro_200step":
        assert value is None  # every threshold has one false-positive rate: nothing to stretch
    elif name == "ap_trapezoid":
        assert value == pytest.approx(0.5 + 0.5 * mask.sum() / (2 * mask.size))  # joined to the lowest threshold
    else:
        assert value == pytest.approx(1.0 if METRICS[name].higher_is_better else 0.0)


def test_resamples_of_a_few_valued_pool_are_exact_for_every_exact_metric():
    made = answers(*small_pool(3, "tied", "float32", images=4), 3)
    images = evaluated(made)._sorted("only")
    weights = bootstrap.resample(4, resamples=30, seed=0, stratum="only")
    specs = [METRICS[n] for n in EXACT if n != "ap_trapezoid"]
    drawn = estimate(images, specs, protocol=protocol(), weights=weights)
    for at, row in enumerate(weights.astype(int)):
        repeated = [image for image, times in zip(images, row, strict=True) for _ in range(times)]
        for name, e in estimate(repeated, specs, protocol=protocol(), weights=None).items():
            replicate = np.nan if drawn[name].replicates is None else drawn[name].replicates[at]
            assert replicate == pytest.approx(e.value, abs=1e-12, nan_ok=True), name
