"""The adapters on a CUDA device say what they say on the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.models.clip import Clip, squash
from benchmark.models.grounding_dino import GroundingDino
from benchmark.models.runtime import Device
from benchmark.models.sam import Embedded, SegmentAnything
from tests.parity.toys import picture, toy_clip, toy_detector, toy_sam

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
