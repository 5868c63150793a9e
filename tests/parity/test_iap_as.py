"""The profile paper_code gives the maps of the released functions on the same random weights.

The golden values come from sybeam27/IAP-ZSAS:utils/function.py (process_single_image, process_anomaly_tags_2,
process_object_output, process_box_output, process_size_output, process_anomaly_segmentation, normalize), run
unchanged with IDEA-Research/GroundingDINO (856dde2) on the toy networks and the pictures of ``iap_toys.py``; the parts
of its caption, a set there, were put in alphabetical order. ``run_official.py`` does so for images of your own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.samples import Manifest, Sample, Split
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.data.dataset_trees import save
from tests.parity.iap_toys import CASES, picture
from tests.pipelines.iap.test_pipeline import pipeline, predict
from tests.tiny_models import one_thread  # noqa: F401

GOLDEN = json.loads(Path(__file__).with_name("iap_as.json").read_text(encoding="utf-8"))


def sample(path: Path, *, split: Split) -> Sample:
    return Sample(
        id=path.name,
        image=path,
        mask=None,
        defective=split == "test",
        category="bowl",
        defect_type="any",
        group=path.name,
        split=split,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize("number", range(len(CASES)))
def test_paper_code_agrees_with_the_released_functions(number: int, tmp_path: Path) -> None:
    height, width, answer, text = CASES[number]
    save(tmp_path / "good.png", picture(height, width, seed=number + 100))
    save(tmp_path / "bad.png", picture(height, width, seed=number))
    good, bad = sample(tmp_path / "good.png", split="train"), sample(tmp_path / "bad.png", split="test")
    where = Context(
        manifest=Manifest(dataset="toy", samples=(good, bad)),
        samples=[bad],
        store=Store(tmp_path / "a" / "b"),
        workers=0,
    )
    settings = pipeline(
        "iap_as_paper_code",
        tags=[["cup", "steel"]],
        answer=answer,
        thresholds={"box": 0.0, "text": text},
        detector={"floor": 0.0},
    )
    found, golden = predict(settings, where), GOLDEN[number]
    for name in ("object", "caption", "n_candidates", "n_regions"):
        assert found.extra[name] == golden[name], name
    assert found.extra["object_area"] == pytest.approx(golden["object_area"], abs=1e-5)
    assert found.score_map is not None
    np.testing.assert_allclose(found.score_map[::8, ::8], golden["map"], atol=1e-4)
