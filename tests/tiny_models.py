"""Tiny models of the real classes with random weights, and the overrides that put them into a pipeline."""

from __future__ import annotations

from functools import cache

import pytest

from benchmark.config.toy_networks import toy_words
from tests.harness import typed

SAM = ("pipeline.sam.model=toy", "pipeline.sam.weights=random", "pipeline.allow_random_weights=true")
DETECTOR = (
    "pipeline.detector.model=toy",
    "pipeline.detector.weights=random",
    "pipeline.detector.tokenizer=random",
    "pipeline.detector.short_side=96",
    "pipeline.detector.long_side=200",
)
TAGGER = ("pipeline.tagger.clip.model=toy", "pipeline.tagger.clip.weights=random")
FEATURES = ("backbone@pipeline.backbone=toy", "pipeline.backbone.side=96", "pipeline.allow_random_weights=true")
NO_SERVICE = ("tagger@pipeline.tagger=clip_vocab", "prompter@pipeline.prompter=static")
OTHERS = {
    "resnet_mlp": ("pipeline.folds=2", "pipeline.inner_folds=2"),
    "iap_as_paper_code": NO_SERVICE,
    "iap_as_paper_text": NO_SERVICE,
}
"""What an option is given beside tiny networks, to run without a service and quickly."""


@cache
def tiny(option: str) -> tuple[str, ...]:
    """Return what makes a pipeline tiny: as ``networks=toy`` does, written out."""
    others = OTHERS.get(option, ())
    return (*others, *toy_words(typed(f"pipeline={option}", *others).pipeline))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Keep torch on one thread: tiny models are slower on several."""
    import torch

    torch.set_num_threads(1)
