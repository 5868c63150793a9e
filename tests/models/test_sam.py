from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling.image_encoder import Attention

from benchmark.core.errors import DataError, WeightsError
from benchmark.models import sam as module
from benchmark.models import sam_attention
from benchmark.models.runtime import Device
from benchmark.models.sam import Embedded, SegmentAnything
from benchmark.models.sam_build import load_sam
from tests.parity.toys import picture, toy_sam
from tests.tiny_models import one_thread  # noqa: F401

BOXES = np.array([[10, 5, 50, 40], [-8, 0, 99, 70], [3, 3, 4, 4]], dtype=np.float32)


@pytest.fixture(scope="module")
def sam() -> SegmentAnything:
    return SegmentAnything(toy_sam(), device=Device(name="cpu"))


@pytest.fixture(scope="module")
def embedded(sam: SegmentAnything) -> Embedded:
    return Embedded(features=sam.embed([picture(0)])[0], size=picture(0).shape[:2])


@pytest.fixture(scope="module")
def predictor() -> SamPredictor:
    predictor = SamPredictor(toy_sam())
    predictor.set_image(picture(0))
    return predictor


def test_embedding_is_the_librarys(sam: SegmentAnything, predictor: SamPredictor) -> None:
    features = sam.embed([picture(0), picture(4)])
    assert features.shape == (2, 32, 8, 8) and features.dtype == np.float32
    np.testing.assert_allclose(features[0], predictor.features[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("cache", [1, 100_000, 1 << 22])
def test_attention_in_pieces_is_the_librarys(monkeypatch: pytest.MonkeyPatch, cache: int, relative: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    one = Attention(32, num_heads=4, use_rel_pos=relative, input_size=(9, 9)).requires_grad_(False)
    for parameter in one.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw))
    x = torch.randn((3, 9, 9, 32), generator=draw)
    monkeypatch.setattr(sam_attention, "CACHE_BYTES", cache)
    torch.testing.assert_close(sam_attention.attention(one, x), one(x), rtol=1e-5, atol=1e-5)


def test_box_masks_are_the_librarys(sam: SegmentAnything, embedded: Embedded, predictor: SamPredictor) -> None:
    prompts = predictor.transform.apply_boxes_torch(torch.from_numpy(BOXES), embedded.size)
    masks, quality, _ = predictor.predict_torch(None, None, boxes=prompts, multimask_output=False)
    found = sam.from_boxes(embedded, BOXES)
    np.testing.assert_array_equal(found.masks.decode(), masks[:, 0].numpy())
    np.testing.assert_allclose(found.quality, quality[:, 0].numpy(), atol=1e-5)


def test_boxes_in_chunks_give_the_same_masks(
    sam: SegmentAnything, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sam.from_boxes(embedded, BOXES)
    monkeypatch.setattr(module, "DECODE_BYTES", 1)
    assert sam.from_boxes(embedded, BOXES).masks == whole.masks


def test_no_box_gives_no_mask(sam: SegmentAnything, embedded: Embedded) -> None:
    found = sam.from_boxes(embedded, np.zeros((0, 4), dtype=np.float32))
    assert len(found.masks) == 0 and found.masks.shape == (60, 100) and found.quality.shape == (0,)


@pytest.mark.parametrize("multimask", [False, True])
def test_point_masks_are_the_librarys(
    sam: SegmentAnything, embedded: Embedded, predictor: SamPredictor, multimask: bool
) -> None:
    points, labels = np.array([[5, 5], [90, 50]]), np.array([1, 0], dtype=np.uint8)
    masks, quality, _ = predictor.predict(points, labels, multimask_output=multimask)
    found = sam.from_points(embedded, points, labels, multimask=multimask)
    assert len(found.masks) == (3 if multimask else 1)
    np.testing.assert_array_equal(found.masks.decode(), masks)
    np.testing.assert_allclose(found.quality, quality, atol=1e-5)


def test_everything_is_the_librarys(sam: SegmentAnything, embedded: Embedded) -> None:
    generator = SamAutomaticMaskGenerator(sam.network, points_per_side=4, box_nms_thresh=1.0)
    expected = generator.generate(picture(0))
    found, boxes = sam.everything(
        embedded,
        points_per_side=4,
        points_per_batch=5,
        pred_iou_thresh=0.88,
        stability_score_thresh=0.95,
        box_nms_thresh=1.0,
    )
    assert len(expected) > 5
    masks = np.stack([record["segmentation"] for record in expected])
    np.testing.assert_array_equal(found.masks.decode(), masks)
    assert boxes.tolist() == [record["bbox"] for record in expected]


def test_everything_may_be_nothing(sam: SegmentAnything, embedded: Embedded) -> None:
    found, boxes = sam.everything(
        embedded,
        points_per_side=2,
        points_per_batch=64,
        pred_iou_thresh=99,
        stability_score_thresh=0.95,
        box_nms_thresh=0.7,
    )
    assert len(found.masks) == 0 and boxes.shape == (0, 4)


def test_tiny_and_huge_images_go_through(sam: SegmentAnything) -> None:
    for shape in ((1, 1, 3), (2, 100, 3), (900, 1400, 3)):
        image = np.full(shape, 90, dtype=np.uint8)
        seen = Embedded(features=sam.embed([image])[0], size=shape[:2])
        assert sam.from_boxes(seen, BOXES).masks.shape == shape[:2]


def test_an_image_whose_short_side_vanishes_is_refused(sam: SegmentAnything) -> None:
    with pytest.raises(DataError, match="3000 x 1 pixels is too elongated"):
        sam.embed([np.zeros((1, 3000, 3), dtype=np.uint8)])


def test_weights_come_from_a_file_and_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(toy_sam().state_dict(), path)
    loaded = load_sam("toy", weights=path, device="cpu")
    assert torch.equal(loaded.mask_decoder.iou_token.weight, toy_sam().mask_decoder.iou_token.weight)
    with pytest.raises(WeightsError, match="does not fit Sam"):
        load_sam("vit_t", weights=path, device="cpu")


def test_bf16_changes_the_embedding_a_little(sam: SegmentAnything) -> None:
    rough = SegmentAnything(sam.network, device=Device(name="cpu", precision="bf16")).embed([picture(0)])
    exact = sam.embed([picture(0)])
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.2 * np.abs(exact).max()
