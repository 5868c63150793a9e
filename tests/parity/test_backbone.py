"""Stages of the networks that pipelines began with keep their fingerprints and numbers.

``backbone.json`` was written before networks could be chosen (commit e3dfa9a): fingerprints of stages, and every
twelfth or so number of their results on pictures 0 to 2 of ``toys``, with seeded random weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.samples import Manifest
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage
from benchmark.stages.store import Store
from tests.harness import plan_of, typed
from tests.parity import toys
from tests.pictures import save_sample
from tests.tiny_models import DETECTOR, SAM, one_thread  # noqa: F401

BEFORE: dict[str, Any] = json.loads((Path(__file__).parent / "backbone.json").read_text())
RANDOM = ("pipeline.backbone.weights=random", "pipeline.allow_random_weights=true")
WORDS: dict[str, tuple[str, ...]] = {
    "patchcore": (
        "pipeline=patchcore",
        "backbone@pipeline.backbone=wide_resnet50_2",
        *RANDOM,
        "pipeline.backbone.side=64",
        "pipeline.share=0.5",
    ),
    "utad": ("pipeline=utad", *RANDOM, "pipeline.backbone.side=96", "pipeline.neighbours=20"),
    "saa_plus": (
        "pipeline=saa_plus",
        "pipeline.prompts=generic",
        "pipeline.saliency.backbone.weights=random",
        "pipeline.saliency.backbone.side=64",
        "pipeline.saliency.between_side=96",
        *SAM,
        *DETECTOR,
    ),
    "resnet_mlp_18": (
        "pipeline=resnet_mlp",
        "backbone@pipeline.backbone=resnet18",
        "pipeline.backbone.weights=random",
        "pipeline.backbone.side=64",
    ),
    "resnet_mlp_50": (
        "pipeline=resnet_mlp",
        "backbone@pipeline.backbone=resnet50",
        "pipeline.backbone.weights=random",
        "pipeline.backbone.side=64",
    ),
}
RESULTS = {"saa_saliency": "map", "resnet_features": "features"}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    samples = tuple(
        save_sample(
            tmp_path / f"{number}.png",
            toys.picture(number),
            split="train" if number > 2 else "test",
            defective=number == 2,
        )
        for number in range(6)
    )
    manifest = Manifest(dataset="toys", samples=samples)
    return Context(manifest=manifest, samples=manifest.test, store=Store(tmp_path / "store"), workers=0)


def everything(stages: Iterable[Stage]) -> dict[str, Stage]:
    """The stages and all that they work from, by name."""
    return {name: found for s in stages for name, found in {s.name: s, **everything(s.upstream)}.items()}


@pytest.mark.parametrize("name", WORDS)
def test_stages_and_numbers_are_those_of_before(name: str, context: Context) -> None:
    before = BEFORE[name]
    stage = everything(plan_of(typed("dataset=sat", *WORDS[name]).pipeline, context).distinct)[before["stage"]]
    assert stage.fingerprint == before["fingerprint"]
    assert sorted(context.weights) == before["weights"]
    for (_, artifact), values in zip(context.run(stage), before["values"], strict=True):
        found = np.asarray(artifact[RESULTS.get(stage.name, "distances")]).ravel()
        found = found[:: max(1, found.size // 12)][:12]
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-6)
    if "bank" in before:
        (entry,) = context.store.entries("patchcore_bank")
        assert entry.path.name.startswith(before["bank"])
