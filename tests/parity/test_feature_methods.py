"""AnomalyDINO, MuSc and PaDiM against what their public implementations gave on the features of the same toy networks.

``feature_methods.json`` holds every tenth pixel of maps, and image scores. They were computed with
dammsi/AnomalyDINO (b3435f0; run_anomaly_detection with faiss, its mask threshold lowered to the toy's features),
xrli-U/MuSc (b76b93d; make_category_data, in float32) and open-edge-platform/anomalib (b723368; PadimModel) on the
pictures of ``toys``, with the features that the networks ``toy_vit`` and ``toy`` of conf/backbone give.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.samples import Manifest, Prediction
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import typed
from tests.parity import toys
from tests.pictures import save_sample
from tests.tiny_models import one_thread  # noqa: F401

PUBLIC: dict[str, Any] = json.loads((Path(__file__).parent / "feature_methods.json").read_text())
TOY_VIT = ("backbone@pipeline.backbone=toy_vit", "pipeline.allow_random_weights=true")


def predict(folder: Path, train: tuple[int, ...], test: tuple[int, ...], *words: str) -> dict[int, Prediction]:
    samples = tuple(
        save_sample(folder / f"{number}.png", toys.picture(number), split="train" if number in train else "test")
        for number in sorted(train + test)
    )
    manifest = Manifest(dataset="toys", samples=samples)
    context = Context(manifest=manifest, samples=manifest.test, store=Store(folder / "store"), workers=0)
    return {int(Path(sample.id).stem): found for sample, found in harness.predict(typed(*words).pipeline, context)}


def check(found: Prediction, public: dict[str, Any], *, within: float) -> None:
    """Compare map and image score; ``within`` is a part of the largest value of the map."""
    expected = np.asarray(public["map"])
    assert found.score_map is not None and expected.std() > 1e-3, "a flat golden map would prove nothing"
    assert np.abs(found.score_map[::10, ::10] - expected).max() < within * expected.max()
    assert found.image_score == pytest.approx(public["score"], rel=within)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain", ("pipeline.angles=[0]", "pipeline.masked=[]")),
        ("turned", ("pipeline.masked=[]",)),
        ("masked", ("pipeline.masked=all", "pipeline.mask_references=true", "pipeline.neighbours=3")),
    ],
)
def test_anomaly_dino(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    asked = ("pipeline=anomaly_dino", *TOY_VIT, "pipeline.backbone.side=240", "pipeline.mask_threshold=0.5", *words)
    for number, found in predict(tmp_path, (1, 3), (0, 2, 4), *asked, "pipeline.shots=2").items():
        check(found, PUBLIC["anomaly_dino"][f"{name}_{number}"], within=1e-5)


def test_musc(tmp_path: Path) -> None:
    asked = ("pipeline=musc", *TOY_VIT, "pipeline.backbone.layers=[block1,block3,block-1]")
    for number, found in predict(tmp_path, (), tuple(range(6)), *asked).items():
        check(found, PUBLIC["musc"][f"{number}"], within=1e-5)


def test_padim(tmp_path: Path) -> None:
    asked = ("pipeline=padim", "backbone@pipeline.backbone=toy", "pipeline.backbone.side=128")
    more = ("pipeline.channels=40", "pipeline.regularisation=0.01001", "pipeline.allow_random_weights=true")
    for number, found in predict(tmp_path, (1, 3, 5), (0, 2, 4), *asked, *more).items():
        check(found, PUBLIC["padim"][f"{number}"], within=1e-4)
