"""The adapters on a CUDA device say what they say on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.models.clip import Clip, squash
from benchmark.models.grounding_dino import GroundingDino
from benchmark.models.runtime import Device
from benchmark.models.sam import Embedded, SegmentAnything
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.store import Store
from tests.parity.toys import picture, toy_clip, toy_detector, toy_sam
from tests.slow_pipeline import write_images

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
DEVICES = ("cpu", "cuda")


def test_sam() -> None:
    features, masks = [], []
    for name in DEVICES:
        sam = SegmentAnything(toy_sam().to(name), device=Device(name=name))
        features.append(sam.embed([picture(0)])[0])
        seen = Embedded(features=features[0], size=picture(0).shape[:2])
        boxes = np.array([[5, 5, 60, 40], [0, 0, 99, 59]], dtype=np.float32)
        masks.append(sam.from_boxes(seen, boxes).masks.decode())
    np.testing.assert_allclose(*features, atol=1e-3)
    assert np.mean(masks[0] != masks[1]) < 1e-3


def test_clip() -> None:
    image = [squash(picture(1), 224)]
    tokens = [Clip(toy_clip().to(name), device=Device(name=name)).tokens(image, surgery=6) for name in DEVICES]
    np.testing.assert_allclose(*tokens, atol=1e-3)


def test_grounding_dino() -> None:
    found = []
    for name in DEVICES:
        network = GroundingDino(
            toy_detector().to(name), device=Device(name=name), short_side=96, long_side=200, captions_per_batch=2
        )
        logits, boxes = network.raw(picture(0), ["defect.", "a black hole.", "b."])
        found.append((np.where(np.isfinite(logits), logits, 0), boxes))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-2)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(precision: str) -> None:
    network = toy_sam().to("cuda")
    exact = SegmentAnything(network, device=Device(name="cuda")).embed([picture(0)])
    rough = SegmentAnything(network, device=Device(name="cuda", precision=precision)).embed([picture(0)])  # type: ignore[arg-type]
    assert rough.dtype == np.float32
    assert np.abs(rough - exact).max() < 0.2 * np.abs(exact).max()


def test_images_together_give_what_they_give_alone() -> None:
    images = [picture(0), np.ascontiguousarray(picture(0)[::-1]), picture(1)]
    device = Device(name="cuda")
    sam = SegmentAnything(toy_sam().to("cuda"), device=device)
    network = GroundingDino(
        toy_detector().to("cuda"), device=device, short_side=96, long_side=200, captions_per_batch=2
    )
    for number, features in enumerate(sam.embed(images)):
        np.testing.assert_allclose(features, sam.embed([images[number]])[0], atol=1e-3)
    for image, (_, boxes) in zip(images, network.raw_all(images, ["defect.", "b."]), strict=True):
        np.testing.assert_allclose(boxes, network.raw(image, ["defect.", "b."])[1], atol=1e-3)


def test_memory_that_runs_out_on_the_device_halves_the_batch(tmp_path: Path) -> None:
    whole = torch.cuda.get_device_properties(0).total_memory

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        held = torch.empty(whole // 3 * len(inputs), dtype=torch.uint8, device="cuda")
        return [{"value": int(held[:1].numel())} for _ in inputs]

    images = write_images(tmp_path / "images", 8)
    context = Context(manifest=images, samples=images.test, store=Store(tmp_path / "store"), device="cuda")
    stage = Stage(name="net", version=1, settings={}, compute=compute, batch_size=1)
    assert len(list(context.run(stage))) == 8
    assert context.stats["net"].images_at_once < 8 and context.stats["net"].computed == 8
