"""One contract for every SAM of transformers, and each against the library's own processing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.schema import option_settings
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Manifest
from benchmark.models.choice import Networks, choose
from benchmark.models.hf_sam import HfSam, TransformersSam
from benchmark.models.sam import Embedded
from benchmark.models.sam_stages import embedded
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from tests.harness import compose
from tests.models.hf_models import SAMS, write_detector, write_sam, write_video_sam
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

BOXES = np.array([[3, 4, 50, 60], [0, 0, 20, 20], [-5, 10, 140, 70]], dtype=np.float32)
LEVELS = {"sam": 1, "sam_hq": 2, "sam2": 3, "edgetam": 3, "sam3_tracker": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sams")
    return {kind: write_sam(root / kind, kind) for kind in SAMS}


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    manifest = Manifest(dataset="none", samples=())
    yield Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0)
    clear_models()


def option(folder: Path | str, *words: str) -> HfSam:
    chosen = ("sam@pipeline.sam=hf", f"pipeline.sam.model={folder}")
    composed, _ = compose("pipeline=sam_clip", *chosen, *words)
    found = option_settings("pipeline", composed["pipeline"]).sam  # type: ignore[attr-defined]
    assert isinstance(found, HfSam)
    return found


def loaded(context: Context, settings: HfSam) -> TransformersSam:
    return settings.load(context, choose(context, Networks(wanted=settings.wanted()), pipeline="sam_clip"))


def seen(levels: Any, image: Any) -> Embedded:
    return Embedded(features=levels[0], further=tuple(levels[1:]), size=image.shape[:2])


@pytest.mark.parametrize("kind", SAMS)
def test_every_sam_keeps_the_contract(kind: str, folders: dict[str, Path], context: Context) -> None:
    settings = option(folders[kind])
    sam = loaded(context, settings)
    images = [picture(0), picture(1), picture(4)]
    levels = sam.embed(images)
    for image, together in zip(images, levels, strict=True):
        assert len(together) == LEVELS[kind] and all(one.dtype == np.float32 and one.ndim == 3 for one in together)
        for one, alone in zip(together, sam.embed([image])[0], strict=True):
            np.testing.assert_allclose(one, alone, atol=1e-5)
    view = seen(levels[0], images[0])
    stored = {"height": 60, "width": 100, "features": levels[0][0]}
    stored |= {f"features_{n}": one for n, one in enumerate(levels[0][1:], start=1)}
    assert len(embedded(stored).further) == LEVELS[kind] - 1
    found = sam.from_boxes(view, BOXES)
    assert found.masks.shape == (60, 100) and len(found.masks) == 3 and found.quality.shape == (3,)
    assert found.quality.dtype == np.float32 and 0 < found.masks.areas()[0] < 6000
    assert len(sam.from_boxes(view, BOXES[:0]).masks) == 0
    points, labels = np.array([[3, 4], [70, 30]]), np.array([1, 0], dtype=np.uint8)
    three = sam.from_points(view, points, labels, multimask=True)
    assert len(three.masks) == 3 == len(three.quality)
    assert len(sam.from_points(view, points, labels, multimask=False).masks) == 1
    masks, boxes = sam.everything(
        view, points_per_side=3, points_per_batch=4, pred_iou_thresh=-9, stability_score_thresh=0, box_nms_thresh=0.9
    )
    assert len(masks.masks) == len(boxes) > 0 and masks.masks.shape == (60, 100)
    facts = settings.facts()
    assert facts["model"] == kind and len(facts["description"]) == 64


@pytest.mark.parametrize("kind", SAMS)
def test_masks_are_those_of_the_librarys_own_processing(kind: str, folders: dict[str, Path], context: Context) -> None:
    sam, image = loaded(context, option(folders[kind])), picture(3)
    found = sam.from_boxes(seen(sam.embed([image])[0], image), BOXES)
    inputs = sam.processor(images=[image], return_tensors="pt")
    height, width = image.shape[:2]
    if kind in ("sam", "sam_hq"):
        down, across = (int(side) for side in inputs["reshaped_input_sizes"][0])
        extra = {"reshaped_input_sizes": inputs["reshaped_input_sizes"]}
    else:
        down, across, extra = 64, 64, {}
    asked = torch.from_numpy(BOXES * np.array([across / width, down / height] * 2, dtype=np.float32))[None]
    with torch.no_grad():
        own = sam.model(pixel_values=inputs["pixel_values"], input_boxes=asked, multimask_output=False)
    masks = sam.processor.post_process_masks(own.pred_masks, inputs["original_sizes"], **extra)[0]
    differ = np.mean(found.masks.decode() != masks[:, 0].numpy())
    assert differ < 1e-3
    np.testing.assert_allclose(found.quality, own.iou_scores[0, :, 0], atol=1e-5)


def test_what_is_no_sam_is_refused(tmp_path: Path, context: Context) -> None:
    settings = option(write_detector(tmp_path / "owl", "owlvit"))
    with pytest.raises(ConfigError, match=r"of the kind owlvit, which is no SAM that is asked by boxes and points"):
        loaded(context, settings)


@pytest.mark.parametrize(("kind", "prefix"), [("sam2_video", ""), ("sam3_video", "tracker_model.")])
def test_a_file_of_the_video_model_gives_its_image_model(
    kind: str, prefix: str, tmp_path: Path, context: Context
) -> None:
    weights = write_video_sam(tmp_path / kind, kind)
    sam = loaded(context, option(tmp_path / kind))
    own = sam.model.state_dict()
    decoder = [name for name in own if name.startswith("mask_decoder.")]
    assert len(decoder) > 50 and all(torch.equal(own[name], weights[prefix + name]) for name in decoder)
    neck = next(name for name in own if name.startswith("vision_encoder.neck."))
    theirs = neck if kind == "sam2_video" else neck.replace("vision_encoder.neck.", "tracker_neck.")
    assert torch.equal(own[neck], weights[theirs])
    assert len(sam.embed([picture(0)])[0]) == 3
