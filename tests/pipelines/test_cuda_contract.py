"""Every pipeline option predicts on a CUDA device what it predicts on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core.samples import Prediction
from tests.harness import streamed
from tests.pipelines.test_pipeline_contract import OPTIONS, configured, context_of, runnable
from tests.tiny_models import one_thread, tiny  # noqa: F401

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]


def predicted(folder: Path, name: str, device: str) -> list[Prediction]:
    folder.mkdir()
    config = configured(folder, name, (*tiny(name), f"run.device={device}"))
    return [prediction for _, prediction in streamed(config.pipeline, context_of(config), option=name)]


@pytest.mark.parametrize("name", OPTIONS)
def test_cuda_predicts_what_the_processor_does(name: str, tmp_path: Path) -> None:
    """Rounding differs, and may move a choice at single pixels; no more than that."""
    runnable(tmp_path, name)
    pairs = zip(predicted(tmp_path / "a", name, "cpu"), predicted(tmp_path / "b", name, "cuda"), strict=True)
    for here, there in pairs:
        assert here.outcome == there.outcome == "ok"
        assert here.label == there.label
        if here.score_map is not None:
            assert there.score_map is not None
            tolerance = 1e-3 * max(1e-6, float(np.ptp(here.score_map)))
            assert np.mean(np.abs(here.score_map - there.score_map) > tolerance) < 0.01
        if here.mask is not None:
            assert there.mask is not None and np.mean(here.mask != there.mask) < 0.01
        if here.image_score is not None:
            assert there.image_score == pytest.approx(here.image_score, rel=1e-2, abs=1e-3)
