"""The pictures that a run keeps: small, with small defects in them, and none of a run that failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.results.gallery import Gallery, choose, read_gallery, shrink
from tests.data.dataset_trees import save


def test_thumbnails_are_bounded_and_small_defects_stay_visible(tmp_path: Path) -> None:
    import cv2

    save(tmp_path / "a.png", np.random.default_rng(0).integers(90, 110, (1280, 640), dtype=np.uint8))
    sample = Sample(
        id="a.png", image=tmp_path / "a.png", mask=None, defective=True, category="c", defect_type="d", group="g",
        split="test", sha256="0" * 64,
    )  # fmt: skip
    truth = np.zeros((1280, 640), dtype=bool)
    truth[300, 300] = True
    scores = np.linspace(-3.0, 5.0, 1280 * 640, dtype=np.float32).reshape(1280, 640)
    with Gallery(tmp_path / "run", frozenset({"a.png"}), store=None, workers=1) as gallery:
        gallery.add(sample, Prediction(score_map=scores, mask=truth), GroundTruth(mask=truth))
    (kept,) = read_gallery(tmp_path / "run")
    assert (kept.low, kept.high) == (-3.0, 5.0)
    assert kept.truth is not None and kept.image is not None and kept.score is not None
    assert np.any(cv2.imdecode(np.frombuffer(kept.truth, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert cv2.imdecode(np.frombuffer(kept.image, np.uint8), cv2.IMREAD_COLOR).shape == (160, 80, 3)
    assert sum(len(p or b"") for p in (kept.image, kept.score, kept.truth, kept.mask)) < 20_000
    assert shrink(np.zeros((40, 20), np.uint8)).shape == (40, 20)
    assert shrink(np.zeros((10, 3000), np.uint8)).shape == (1, 160)
    assert choose([sample] * 1, 0) == frozenset()


def test_a_failed_run_leaves_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Gallery(tmp_path / "run", frozenset(), store=None, workers=0):
        raise RuntimeError
    assert not (tmp_path / "run").exists()
