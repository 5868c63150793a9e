"""SAM as the pipelines use it: one embedding per image, then masks from boxes, points or a grid of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import MaskSet
from benchmark.models import sam_attention
from benchmark.models.runtime import Device

if TYPE_CHECKING:
    from segment_anything import SamPredictor
    from segment_anything.modeling import Sam

DECODE_BYTES = 1 << 29
"""Memory that the masks of one decoding chunk may take at full size (bytes)."""


@dataclass(frozen=True, kw_only=True)
class ScoredMasks:
    """Masks of one image with the quality that SAM predicts for them."""

    masks: MaskSet
    quality: NDArray[np.float32]
    """(N,) predicted IoU; it may leave [0, 1] a little."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An image as the mask decoder sees it."""

    features: NDArray[np.float32]
    """(C, h, w), (256, 64, 64) for all but the toy."""
    size: tuple[int, int]
    """(H, W) of the image."""
    further: tuple[NDArray[np.float32], ...] = ()
    """Further arrays of an embedding that has several, as those of finer maps of SAM 2."""


class SegmentAnything:
    """A SAM network with its pre- and post-processing (segment_anything:predictor.py).

    Args:
        network: from ``load_sam``.
        device: where the network lies; its precision holds for the image encoder, masks are decoded in float32.
    """

    def __init__(self, network: Sam, *, device: Device) -> None:
        from segment_anything.utils.transforms import ResizeLongestSide

        self.network = network
        self.device = device
        self.transform = ResizeLongestSide(network.image_encoder.img_size)
        sam_attention.prepare(network, device=device.name)

    def embed(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32] | Sequence[Sequence[NDArray[np.float32]]]:
        """Embed images, (H, W, 3) uint8 RGB each of its own size, to (B, C, h, w) float32.

        Raises:
            DataError: an image so elongated that its short side would vanish at SAM's input size.
        """
        import torch

        with self.device.inference():
            prepared = []
            for image in images:
                self._input_size(image.shape[:2])
                pixels = torch.from_numpy(np.ascontiguousarray(self.transform.apply_image(image)))
                prepared.append(self.network.preprocess(self.device.send(pixels.permute(2, 0, 1))))
            features = self.network.image_encoder(torch.stack(prepared))
            return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    def from_boxes(self, image: Embedded, boxes: NDArray[np.float32]) -> ScoredMasks:
        """Decode one mask per box: the single-mask output, logit > 0, at native size.

        Args:
            boxes: (N, 4) float32 x0, y0, x1, y1 in pixels of the image; they may reach outside. N may be 0.
        """
        import torch

        predictor = self._predictor(image)
        counts: list[bytes] = []
        quality: list[NDArray[np.float32]] = []
        chunk = self._at_once(image.size)
        with self._exact():
            for start in range(0, len(boxes), chunk):
                wanted = torch.from_numpy(np.asarray(boxes[start : start + chunk], dtype=np.float32))
                prompts = self.transform.apply_boxes_torch(wanted.to(self.device.name), image.size)
                masks, scores, _ = predictor.predict_torch(None, None, boxes=prompts, multimask_output=False)
                counts.extend(MaskSet.encode(masks[:, 0].cpu().numpy()).counts)
                quality.append(scores[:, 0].cpu().numpy())
        return ScoredMasks(
            masks=MaskSet.from_counts(image.size, counts),
            quality=np.concatenate(quality) if quality else np.zeros(0, dtype=np.float32),
        )

    def from_points(
        self, image: Embedded, points: NDArray[np.int64], labels: NDArray[np.uint8], *, multimask: bool
    ) -> ScoredMasks:
        """Decode the mask that a set of points asks for together.

        Args:
            points: (N, 2) x, y in pixels of the image, N >= 1.
            labels: (N,) 1 on the wanted object, 0 off it.
            multimask: three candidate masks instead of one.
        """
        with self._exact():
            masks, scores, _ = self._predictor(image).predict(
                point_coords=np.asarray(points), point_labels=np.asarray(labels), multimask_output=multimask
            )
        return ScoredMasks(masks=MaskSet.encode(np.asarray(masks, dtype=bool)), quality=np.asarray(scores))

    def everything(
        self,
        image: Embedded,
        *,
        points_per_side: int,
        points_per_batch: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
    ) -> tuple[ScoredMasks, NDArray[np.int64]]:
        """Segment the whole image from a grid of points (segment_anything:automatic_mask_generator.py).

        Args:
            points_per_batch: most points decoded together; fewer on images so large that memory would not do.

        Returns:
            The masks that pass the filters, in the generator's order, and their boxes (N, 4) int64
            x, y, w, h with w = right - left and h = bottom - top of the outermost mask pixels.
        """
        from segment_anything import SamAutomaticMaskGenerator

        generator = SamAutomaticMaskGenerator(
            self.network,
            points_per_side=points_per_side,
            points_per_batch=min(points_per_batch, max(1, 4 * self._at_once(image.size) // 3)),
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            box_nms_thresh=box_nms_thresh,
            output_mode="coco_rle",
        )
        generator.predictor = self._predictor(image)
        with self._exact():
            found: list[dict[str, Any]] = generator.generate(np.zeros((*image.size, 3), dtype=np.uint8))
        counts = [record["segmentation"]["counts"].encode("ascii") for record in found]
        boxes = np.array([record["bbox"] for record in found], dtype=np.int64).reshape(-1, 4)
        quality = np.array([record["predicted_iou"] for record in found], dtype=np.float32)
        return ScoredMasks(masks=MaskSet.from_counts(image.size, counts), quality=quality), boxes

    def _at_once(self, size: tuple[int, int]) -> int:
        """How many masks of an image may be decoded together: each is held as logits at SAM's size and at its own."""
        side: int = self.network.image_encoder.img_size
        return max(1, DECODE_BYTES // (8 * (size[0] * size[1] + side**2)))

    def _exact(self) -> Any:
        return Device(name=self.device.name).inference()

    def _input_size(self, size: Sequence[int]) -> tuple[int, int]:
        height, width = self.transform.get_preprocess_shape(size[0], size[1], self.transform.target_length)
        if min(height, width) < 1:
            raise DataError(
                f"an image of {size[1]} x {size[0]} pixels is too elongated for SAM: at its input size the "
                "short side vanishes; crop the image or leave it out"
            )
        return height, width

    def _predictor(self, image: Embedded) -> SamPredictor:
        """A library predictor that holds a stored embedding instead of computing one."""
        import torch

        predictor = predictor_of_stored()(self.network)
        predictor.original_size = image.size
        predictor.input_size = self._input_size(image.size)
        predictor.features = self.device.send(torch.from_numpy(image.features))[None]
        predictor.is_image_set = True
        return predictor


def predictor_of_stored() -> Any:
    """Return the library's predictor as a class that keeps its embedding when the generator gives it an image."""
    from segment_anything import SamPredictor

    class StoredPredictor(SamPredictor):  # type: ignore[misc]
        def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
            """Keep the stored embedding: the generator calls this with the whole image."""
            assert image.shape[:2] == self.original_size

        def reset_image(self) -> None:
            """Keep the stored embedding."""

    return StoredPredictor
