"""The compared methods against what their public implementations gave on the same random weights.

``compared.json`` holds every tenth pixel of maps, and image scores. They were computed with
zqhang/Accurate-WinCLIP-pytorch (eef4f8c), anomalib (b723368; its window encoder with the layout of the open_clip that
it pins), caoyunkang/WinClip (0818c9d; in float32), ByChelsea/CLIP-AD (f004973; in float32) and
TArdelean/AnomalyLocalizationFCA (afe8326), and PatchCore with the same anomalib, all patches remembered, on the weights
of ``compared_toys`` and the pictures of ``toys``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.samples import Manifest, Prediction, Sample
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import typed
from tests.parity import compared_toys, toys
from tests.pictures import save_sample
from tests.tiny_models import one_thread  # noqa: F401

PUBLIC: dict[str, Any] = json.loads((Path(__file__).parent / "compared.json").read_text())
CLIP = ("pipeline.clip.model=toy_plus", "pipeline.clip.precision=fp32", "pipeline.clip.input_size=96")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared_toys.save("clip", tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def wide_resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared_toys.save("wide_resnet", tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    return tuple(
        save_sample(
            folder / f"{number}.png",
            toys.picture(number),
            category=compared_toys.CATEGORY,
            split="test" if number in compared_toys.PICTURES else "train",
        )
        for number in (*compared_toys.PICTURES, *compared_toys.SHOTS)
    )


@pytest.fixture(scope="module")
def context(samples: tuple[Sample, ...], tmp_path_factory: pytest.TempPathFactory) -> Context:
    manifest = Manifest(dataset="toys", samples=samples)
    store = Store(tmp_path_factory.mktemp("store"))
    return Context(manifest=manifest, samples=manifest.test, store=store, workers=0)


def predict(context: Context, pipeline: str, *overrides: str) -> list[tuple[int, Prediction]]:
    config = typed(f"pipeline={pipeline}", *overrides)
    return [(int(Path(s.id).stem), p) for s, p in harness.predict(config.pipeline, context)]


def largest_difference(found: Prediction, public: dict[str, Any]) -> float:
    assert found.score_map is not None
    expected = np.asarray(public["map"])
    assert expected.std() > 1e-3, "the golden map is flat: it would prove nothing"
    return float(np.abs(found.score_map[::10, ::10] - expected).max())


@pytest.mark.parametrize("pipeline", ["winclip", "winclip_anomalib", "winclip_caoyunkang"])
@pytest.mark.parametrize("shots", [0, 2])
def test_winclip(pipeline: str, shots: int, context: Context, clip: Path) -> None:
    found = predict(context, pipeline, *CLIP, f"pipeline.clip.weights={clip}", f"pipeline.shots={shots}")
    for number, prediction in found:
        public = PUBLIC[pipeline][f"{'few' if shots else 'zero'}_{number}"]
        assert largest_difference(prediction, public) < 1e-4
        assert prediction.image_score == pytest.approx(public["score"], abs=1e-4)


@pytest.mark.parametrize("text", ["dbscan", "mean"])
def test_sdp(text: str, context: Context, clip: Path) -> None:
    asked = (*CLIP, f"pipeline.clip.weights={clip}", f"pipeline.text={text}")
    half = "true" if text == "dbscan" else "false"  # only that branch of the released code rounds
    found = predict(context, "sdp", *asked, f"pipeline.half_text={half}")
    public = {number: PUBLIC["sdp"][f"{text}_{number}"] for number, _ in found}
    pairs = np.array([[p["score"], p["most"]] for p in public.values()])
    scaled = ((pairs - pairs.min(0)) / (pairs.max(0) - pairs.min(0))).sum(1)
    for (number, prediction), score in zip(found, scaled, strict=True):
        assert largest_difference(prediction, public[number]) < 1e-4
        assert prediction.extra["text_score"] == pytest.approx(
            public[number]["score"], abs=2e-3 if half == "true" else 1e-4
        )
        assert prediction.image_score == pytest.approx(score, abs=5e-3)


def test_the_class_token_of_sdp_matters(context: Context, clip: Path) -> None:
    asked = (*CLIP, f"pipeline.clip.weights={clip}", "pipeline.aliased_class=false")
    number, prediction = predict(context, "sdp", *asked)[0]
    assert largest_difference(prediction, PUBLIC["sdp"][f"dbscan_{number}"]) > 1e-4


@pytest.mark.parametrize(("side", "neighbours"), [pytest.param("192", 400, marks=pytest.mark.slow), ("null", 60)])
def test_utad(side: str, neighbours: int, context: Context, wide_resnet: Path) -> None:
    asked = (
        f"pipeline.backbone.weights={wide_resnet}",
        f"pipeline.backbone.side={side}",
        f"pipeline.neighbours={neighbours}",
    )
    for number, prediction in predict(context, "utad", *asked):
        public = PUBLIC["utad"][f"{'native' if side == 'null' else side}_{number}"]
        assert largest_difference(prediction, public) < 1e-4
        assert prediction.extra["alpha"] == prediction.image_score


def test_patchcore(context: Context, wide_resnet: Path) -> None:
    network = ("backbone@pipeline.backbone=wide_resnet50_2", f"pipeline.backbone.weights={wide_resnet}")
    for number, prediction in predict(context, "patchcore", *network, "pipeline.backbone.side=96", "pipeline.share=1"):
        public = PUBLIC["patchcore"][f"all_{number}"]
        assert largest_difference(prediction, public) < 1e-4 * np.max(public["map"])  # distances are about 30
        assert prediction.image_score == pytest.approx(public["score"], rel=1e-4)
