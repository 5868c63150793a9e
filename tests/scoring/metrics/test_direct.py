"""Metrics from maps and masks in one call."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import GroundTruth, Prediction
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metrics.registry import METRICS
from tests.protocols import protocol
from tests.scoring.metrics.direct import pixel_metrics
from tests.scoring.metrics.maps import continuous
from tests.scoring.metrics.test_invariance import sample

PIXEL = [n for n, s in METRICS.items() if s.source == "pixels"]


def test_one_call_equals_an_evaluation():
    maps, masks = continuous(5, 40)
    evaluation = Evaluation(protocol(resamples=0, aupro_limit=0.2), PIXEL, seed=0)
    for at, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        evaluation.add(sample(at, bool(mask.any())), Prediction(score_map=scores), GroundTruth(mask=mask.astype(bool)))
    expected = {v.metric: v.value for v in evaluation.report() if v.category == "pooled"}
    assert pixel_metrics(iter(maps), iter(masks), names=PIXEL, limit=0.2) == expected


def test_undefined_is_nan_and_wrong_input_is_named():
    empty = np.zeros((3, 3), dtype=bool)
    assert all(math.isnan(v) for v in pixel_metrics([], [], names=PIXEL).values())
    assert math.isnan(pixel_metrics([np.zeros((3, 3))], [empty], names=["ap"])["ap"])
    with pytest.raises(ConfigError, match="f2 is not computed from score maps"):
        pixel_metrics([], [], names=["f2"])
    with pytest.raises(DataError, match="map 1: "):
        pixel_metrics([np.zeros((3, 3)), np.full((3, 3), np.nan)], [empty, empty])
    with pytest.raises(ValueError, match="shorter"):
        pixel_metrics([np.zeros((3, 3))] * 2, [empty])
