"""Any SAM of transformers as an option of the group ``sam``: SAM, SAM 2, SAM-HQ, EdgeTAM, the tracker of SAM 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.models import pretrained
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.compiling import quicken
from benchmark.models.pretrained import ModelName
from benchmark.models.runtime import Device
from benchmark.models.sam import Embedded, SegmentAnything, predictor_of_stored
from benchmark.models.segmenter import Segmenter
from benchmark.stages.context import Context

if TYPE_CHECKING:
    import torch
    from segment_anything import SamPredictor

Floats = NDArray[np.float32]
CLASSES = {
    "sam": "SamModel",
    "sam_hq": "SamHQModel",
    "sam2": "Sam2Model",
    "sam2_video": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "edgetam_video": "EdgeTamModel",
    "sam3_tracker": "Sam3TrackerModel",
    "sam3_video": "Sam3TrackerModel",
}
"""Kind of model in ``config.json`` to transformers' class; files of the video models hold the image model too."""
_PADDED = ("sam", "sam_hq")
"""Kinds that see an image in the upper left of a square, its proportions kept; the others see it squashed."""


class HfSam(Segmenter):
    """Which SAM of transformers, and how its image encoder computes."""

    model: ModelName
    """``OWNER/NAME`` of the hub, with ``@COMMIT`` where it is to stay one, or a folder."""
    weights: WeightsSetting
    """``published`` are those of the model."""
    compile: bool
    """Whether the image side is compiled (torch.compile); by rounding, embeddings differ."""

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        return {"sam": pretrained.request(self.model, self.weights, network="SAM")}

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes embeddings, as JSON values for a stage."""
        return {
            **pretrained.facts(self.model),
            "precision": self.precision,
            **({"compile": True} if self.compile else {}),
        }

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> TransformersSam:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["sam"]

        def load() -> TransformersSam:
            import transformers

            config = pretrained.read_config(self.model, of=CLASSES, what="SAM that is asked by boxes and points")
            kind = getattr(transformers, CLASSES[config.model_type])
            adapt = tracker_names if config.model_type == "sam3_video" else dict
            network = pretrained.load_network(kind, config, weights.path, device=device.name, adapt=adapt)
            quicken(network.vision_encoder, what="SAM's image side", compiled=self.compile, device=device)
            backend = "pil" if config.model_type in _PADDED else "torchvision"
            processor = pretrained.image_processor(self.model, backend=backend)
            return TransformersSam(network, processor, device=device)

        return context.model(("hf sam", pretrained.key_of(self.model), weights.sha256, device, self.compile), load)


def tracker_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take the tracker out of the weights of SAM 3's video model: it shares the detector's image encoder.

    transformers 5.24 leaves it with random weights where it reads such a file itself.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        for old, new in _TRACKER:
            if name.startswith(old):
                found[new + name.removeprefix(old)] = tensor
    return found


_TRACKER = (
    ("detector_model.vision_encoder.backbone.", "vision_encoder.backbone."),
    ("tracker_neck.", "vision_encoder.neck."),
    ("tracker_model.", ""),
)


class TransformersSam(SegmentAnything):
    """A SAM of transformers, asked as the authors' SAM is.

    Args:
        network: a class of ``CLASSES``.
        processor: what scales and normalises images for it.
        device: where the network lies; its precision holds for the image encoder, masks are decoded in float32.
    """

    def __init__(self, network: Any, processor: Any, *, device: Device) -> None:
        from segment_anything.utils.transforms import ResizeLongestSide

        self.model = network
        self.processor = processor
        self.device = device
        self.padded = network.config.model_type in _PADDED
        size = processor.size
        self.side = int(size["longest_edge"] if self.padded else size["height"])
        self.transform = ResizeLongestSide(self.side) if self.padded else _Squash(self.side)
        # What the library's generator of points asks a network for.
        self.network = SimpleNamespace(
            image_encoder=SimpleNamespace(img_size=self.side), mask_threshold=0.0, device=device.name
        )

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Sequence[Floats]]:
        """Embed images, (H, W, 3) uint8 RGB each of its own size: some arrays (C, h, w) for each, coarse ones last.

        SAM has one; SAM 2, EdgeTAM and SAM 3 have two finer ones before it; SAM-HQ has that of an early layer behind.

        Raises:
            DataError: an image so elongated that its short side would vanish at SAM's input size.
        """
        with self.device.inference():
            for image in images:
                self._input_size(image.shape[:2])
            ready = [np.ascontiguousarray(image) for image in images]
            pixels = self.processor(images=ready, input_data_format="channels_last", return_tensors="pt")
            found = self.model.get_image_embeddings(self.device.send(pixels["pixel_values"]))
            if self.model.config.model_type == "sam_hq":
                found = [found[0], found[1][0]]  # of the early layers its decoder reads the first
            levels = found if isinstance(found, list | tuple) else [found]
            arrays = [np.asarray(level.float().cpu().numpy(), dtype=np.float32) for level in levels]
        return [[level[number] for level in arrays] for number in range(len(images))]

    def _input_size(self, size: Sequence[int]) -> tuple[int, int]:
        return super()._input_size(size) if self.padded else (self.side, self.side)

    def _predictor(self, image: Embedded) -> SamPredictor:
        import torch

        levels = [self.device.send(torch.from_numpy(one))[None] for one in (image.features, *image.further)]
        return _predictor(self, levels, image.size)

    def decode(
        self,
        levels: Sequence[torch.Tensor],
        size: tuple[int, int],
        *,
        points: torch.Tensor | None,
        labels: torch.Tensor | None,
        boxes: torch.Tensor | None,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask logits (N, M, H, W) at the image's size and predicted IoU (N, M).

        Args:
            points: (N, P, 2) x, y in pixels of the input, with ``labels`` (N, P) 1 or 0; or
            boxes: (N, 4) corners.
            multimask: three candidates instead of one.
        """
        kind = self.model.config.model_type
        embeddings: dict[str, Any] = {"image_embeddings": list(levels)}
        if kind == "sam":
            embeddings = {"image_embeddings": levels[0]}
        elif kind == "sam_hq":
            embeddings = {"image_embeddings": levels[0], "intermediate_embeddings": [levels[1]]}
        asked: dict[str, Any] = {"input_boxes": boxes[None]} if boxes is not None else {}
        if points is not None and labels is not None:
            asked = {"input_points": points[None], "input_labels": labels[None]}
        found = self.model(**embeddings, **asked, multimask_output=multimask)
        sizes: dict[str, Any] = {"original_sizes": [size]}
        if self.padded:
            sizes["reshaped_input_sizes"] = [self._input_size(size)]
        wide = self.processor.post_process_masks([found.pred_masks[0].float()], binarize=False, **sizes)
        return wide[0], found.iou_scores[0].float()


class _Squash:
    """Brings places of an image to a square input, each axis by its own factor (``ResizeLongestSide``'s methods)."""

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_coords(self, coords: NDArray[Any], original_size: tuple[int, int]) -> NDArray[Any]:
        """Scale x, y (…, 2)."""
        height, width = original_size
        return np.asarray(coords, dtype=np.float64) * (self.target_length / width, self.target_length / height)

    def apply_boxes_torch(self, boxes: torch.Tensor, original_size: tuple[int, int]) -> torch.Tensor:
        """Scale corners (N, 4)."""
        height, width = original_size
        factors = [self.target_length / width, self.target_length / height] * 2
        return boxes * boxes.new_tensor(factors)


def _predictor(sam: TransformersSam, levels: Sequence[torch.Tensor], size: tuple[int, int]) -> SamPredictor:
    """A library predictor whose masks come from a network of transformers and a stored embedding."""
    import torch

    class Predictor(predictor_of_stored()):  # type: ignore[misc]
        def __init__(self) -> None:
            self.model, self.transform = sam.network, sam.transform
            self.original_size, self.is_image_set = size, True

        @property
        def device(self) -> torch.device:
            """Where the network lies."""
            return torch.device(sam.device.name)

        def predict_torch(
            self,
            point_coords: torch.Tensor | None,
            point_labels: torch.Tensor | None,
            boxes: torch.Tensor | None = None,
            mask_input: torch.Tensor | None = None,
            multimask_output: bool = True,
            return_logits: bool = False,
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            """Return masks (N, M, H, W), predicted IoU (N, M), and the logits of the masks."""
            points = None if point_coords is None else point_coords.float()
            logits, quality = sam.decode(
                levels, size, points=points, labels=point_labels, boxes=boxes, multimask=multimask_output
            )
            return logits if return_logits else logits > self.model.mask_threshold, quality, logits

    return Predictor()
