"""One contract for every pipeline option: what it yields, in which order, and what it says when it cannot start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import build, options
from benchmark.data.images import image_shape
from benchmark.errors import BenchmarkError
from benchmark.run import limited, make_context
from benchmark.samples import Prediction, Sample
from tests.harness import SMALL_SAT, compose, places
from tests.tiny_models import PIPELINES, one_thread  # noqa: F401

RUNNABLE = {
    **PIPELINES,
    "constant": (),
    "reference_difference": (),
    "resnet_mlp": ("pipeline.backbone.side=64", "pipeline.folds=2", "pipeline.inner_folds=2"),
}
"""Pipeline option to what makes it run here; the others need an account, a checkout or a large model of the user's."""
COMPLETE = {"constant", "reference_difference", "patchcore", "resnet_mlp", "padim"}
"""Pipelines that lack nothing: they use no network, or the embedded one."""


def predicted(folder: Path, name: str, *words: str) -> Iterator[tuple[Sample, Prediction]]:
    composed, choices = compose(*places(folder), *SMALL_SAT, f"pipeline={name}", *words)
    config = build(composed, choices)
    manifest = config.dataset.manifest(config.run.data_root)
    context = make_context(config, manifest, limited(manifest, None if name == "resnet_mlp" else 2))
    expected = iter(context.samples)
    for sample, prediction in config.pipeline.predict(context):
        assert sample == next(expected), "one prediction for every sample, in order"
        yield sample, prediction
    assert next(expected, None) is None


def test_every_option_is_under_contract() -> None:
    assert set(RUNNABLE) <= set(options("pipeline"))


@pytest.mark.parametrize("name", sorted(RUNNABLE))
def test_predictions_keep_the_contract(name: str, tmp_path: Path) -> None:
    for sample, prediction in predicted(tmp_path, name, *RUNNABLE[name]):
        shape = image_shape(sample.image)
        assert prediction.outcome == "ok"
        assert prediction.score_map is None or prediction.regions is None
        if prediction.score_map is not None:
            assert prediction.score_map.shape == shape and prediction.score_map.dtype == np.float32
            assert np.isfinite(prediction.score_map).all()
        if prediction.regions is not None:
            assert prediction.regions.masks.shape == shape
            assert np.isfinite(prediction.regions.scores).all() and (prediction.regions.scores >= 0).all()
        if prediction.mask is not None:
            assert prediction.mask.shape == shape and prediction.mask.dtype == bool
        assert prediction.image_score is None or np.isfinite(prediction.image_score)
        said = (prediction.score_map, prediction.regions, prediction.mask, prediction.image_score, prediction.label)
        assert any(part is not None for part in said)


@pytest.mark.parametrize("name", sorted(set(options("pipeline")) - COMPLETE))
def test_what_is_missing_is_said_before_any_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(BenchmarkError) as caught:
        list(predicted(tmp_path, name, f"run.weights_root={tmp_path / 'weights'}"))
    assert len(str(caught.value)) > 30, "the message must say what is missing and what to do"
