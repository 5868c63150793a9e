"""Tiny models of the real classes with random weights, and the overrides that put them into a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from benchmark.core.settings import FileOr, Settings
from benchmark.models.backbone import Backbone
from tests.harness import typed

SAM = ("pipeline.sam.model=toy", "pipeline.sam.weights=random", "pipeline.allow_random_weights=true")
DETECTOR = (
    "pipeline.detector.model=toy",
    "pipeline.detector.weights=random",
    "pipeline.detector.tokenizer=random",
    "pipeline.detector.short_side=96",
    "pipeline.detector.long_side=200",
)
SALIENCY = (
    "backbone@pipeline.saliency.backbone=toy",
    "pipeline.saliency.backbone.side=64",
    "pipeline.saliency.between_side=64",
)
CLIP = ("pipeline.clip.model=toy", "pipeline.clip.weights=random")
# Random masks are neither stable nor good: without these nothing would pass SAM's own filters.
GRID = (
    "pipeline.grid.points_per_side=4",
    "pipeline.grid.pred_iou_thresh=-1",
    "pipeline.grid.stability_score_thresh=0",
    "pipeline.grid.box_nms_thresh=0.95",
)
TAGGER = ("pipeline.tagger.clip.model=toy", "pipeline.tagger.clip.weights=random")
TOY = ("pipeline.model=toy", "pipeline.weights=random", "pipeline.allow_random_weights=true")
FEATURES = ("backbone@pipeline.backbone=toy", "pipeline.backbone.side=96", "pipeline.allow_random_weights=true")
PLUS = (
    "pipeline.clip.model=toy_plus",
    "pipeline.clip.weights=random",
    "pipeline.clip.input_size=96",
    "pipeline.allow_random_weights=true",
)
PIPELINES = {
    "iap_as": (*SAM, *DETECTOR, *TAGGER),
    "groundingdino_sam": (*SAM, *DETECTOR),
    "saa": (*SAM, *DETECTOR, *SALIENCY),
    "saa_demo": (*SAM, *DETECTOR, *SALIENCY),
    "saa_plus": (*SAM, *DETECTOR, *SALIENCY),
    "anomalyvlm": (*SAM, *DETECTOR, *SALIENCY),
    "sam_clip": (*SAM, *CLIP, *GRID),
    "sam_clip_text2seg": (*SAM, *CLIP, *GRID),
    "clip_surgery_sam": (*SAM, *CLIP),
    "clip_surgery_sam_text2seg": (*SAM, *CLIP),
    "clip_surgery_sam_demo": (*SAM, *CLIP),
    "winclip": PLUS,
    "winclip_anomalib": PLUS,
    "winclip_caoyunkang": (*PLUS, "pipeline.clip.precision=fp32"),
    "sdp": PLUS,
    "clipseg": (*TOY, "pipeline.input_size=96"),
    "utad": FEATURES,
    "patchcore": FEATURES,
    "anomaly_dino": (*FEATURES, "pipeline.shots=2", "pipeline.masked=all", "pipeline.mask_threshold=0.5"),
    "padim": (*FEATURES, "pipeline.channels=20", "pipeline.smoothing=1"),
    "musc": (*FEATURES, "pipeline.neighbourhoods=[1,3]"),
}
"""Pipeline option to what makes it tiny, and quick."""
NO_SERVICE = (
    *(*SAM, *DETECTOR, *TAGGER),
    "tagger@pipeline.tagger=clip_vocab",
    "prompter@pipeline.prompter=static",
)
OTHERS = {
    "resnet_mlp": (
        "pipeline.backbone.weights=random",
        "pipeline.backbone.side=64",
        "pipeline.folds=2",
        "pipeline.inner_folds=2",
    ),
    "iap_as_paper_code": NO_SERVICE,
    "iap_as_paper_text": NO_SERVICE,
}
"""Options that run without their own weights in another way than by tiny models alone."""


def tiny(option: str) -> tuple[str, ...]:
    """Return what makes a pipeline tiny: as written above, else every network of it a toy with random weights."""
    written = {**PIPELINES, **OTHERS}.get(option)
    if written is not None:
        return written
    pipeline = typed(f"pipeline={option}").pipeline
    allowed = ("pipeline.allow_random_weights=true",) if "allow_random_weights" in type(pipeline).model_fields else ()
    return (*_toys(pipeline, "pipeline"), *allowed)


def _toys(settings: Settings, place: str) -> Iterator[str]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Backbone):
            yield f"backbone@{place}.{name}=toy"
        elif isinstance(value, Settings):
            yield from _toys(value, f"{place}.{name}")
        elif any("random" in part.words for part in field.metadata if isinstance(part, FileOr)):
            yield f"{place}.{name}=random"
        elif "toy" in get_args(field.annotation):
            yield f"{place}.{name}=toy"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Keep torch on one thread: tiny models are slower on several."""
    import torch

    torch.set_num_threads(1)
