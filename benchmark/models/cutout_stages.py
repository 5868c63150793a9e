"""Stages around SAM's masks of a whole image, and what a text-image network sees of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights
from benchmark.models.sam_stages import embedded
from benchmark.models.segmenter import Segmenter
from benchmark.models.text_image import TextImage, TextImageNetwork
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

Canvas = Literal["whole", "text2seg"]


class MaskGridSettings(Settings):
    """How SAM segments a whole image from a grid of points."""

    toy: ClassVar = {
        "points_per_side": "4",
        "pred_iou_thresh": "-1",  # random masks are neither stable nor good: nothing would pass SAM's own filters
        "stability_score_thresh": "0",
        "box_nms_thresh": "0.95",
    }

    points_per_side: int = Field(ge=1)
    points_per_batch: int = Field(ge=1)
    pred_iou_thresh: float
    stability_score_thresh: float
    box_nms_thresh: float = Field(ge=0, le=1)


def everything_stage(
    context: Context,
    sam: Segmenter,
    grid: MaskGridSettings,
    chosen: Mapping[str, ResolvedWeights],
    *,
    embedding: Stage,
) -> Stage:
    """All masks that SAM finds: ``masks``, ``quality`` (predicted IoU) and ``boxes`` (N, 4) x, y, w, h."""

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        artifacts: list[Artifact] = []
        for one in inputs:
            found, boxes = network.everything(embedded(one.upstream["sam_embedding"]), **grid.model_dump())
            artifacts.append({"masks": found.masks, "quality": found.quality, "boxes": boxes})
        return artifacts

    return Stage(
        name="sam_everything",
        version=1,
        settings=grid.model_dump(exclude={"points_per_batch"}),
        weights={"sam": chosen["sam"].sha256},
        upstream=(embedding,),
        compute=compute,
        needs_image=False,
    )


def cutouts_stage(
    context: Context,
    settings: TextImage,
    chosen: Mapping[str, ResolvedWeights],
    *,
    everything: Stage,
    canvas: Canvas,
) -> Stage:
    """CLIP's unit vector of every mask's cut-out: ``vectors`` (N, E) float32, with ``masks`` and ``quality``.

    Args:
        canvas: ``whole``: the cut-out as it is; ``text2seg``: drawn on a canvas whose sides are swapped,
            so that what lies beyond column H or row W of an (H, W) image is black.
    """

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = settings.load(context, chosen)
        return [
            {
                "vectors": _embed_cutouts(network, settings, one, canvas),
                "masks": one.upstream["sam_everything"]["masks"],
                "quality": one.upstream["sam_everything"]["quality"],
            }
            for one in inputs
        ]

    return Stage(
        name="clip_cutouts",
        version=1,
        settings={**settings.facts(), "canvas": canvas},
        weights={"clip": chosen["clip"].sha256},
        upstream=(everything,),
        compute=compute,
    )


def _embed_cutouts(network: TextImageNetwork, settings: TextImage, one: Inputs, canvas: Canvas) -> NDArray[np.float32]:
    """Unit vectors (N, E) of all cut-outs of one image, a bounded number at a time."""
    masks, boxes = one.upstream["sam_everything"]["masks"], one.upstream["sam_everything"]["boxes"]
    vectors = np.zeros((len(masks), network.width), dtype=np.float32)
    for start in range(0, len(masks), settings.batch_size):
        part = range(start, min(start + settings.batch_size, len(masks)))
        cuts = [
            cut_out(one.pixels, mask, boxes[i], canvas=canvas) for i, mask in zip(part, masks.decode(part), strict=True)
        ]
        read = settings.embed(network, cuts)
        vectors[part.start : part.stop] = read / np.linalg.norm(read, axis=-1, keepdims=True)
    return vectors


def cut_out(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], box: NDArray[np.int64], *, canvas: Canvas
) -> NDArray[np.uint8]:
    """Cut a mask's pixels out of an image: black elsewhere, (h, w, 3) uint8 of the box's size.

    The box's sides are right - left and bottom - top, so that the mask's last column and row are lost,
    as in Text2Seg. A box without extent gives one black pixel.

    Args:
        box: x, y, w, h.
    """
    x, y, width, height = (int(v) for v in box)
    if width < 1 or height < 1:
        return np.zeros((1, 1, 3), dtype=np.uint8)
    part = (slice(y, y + height), slice(x, x + width))
    cut = np.where(mask[part][..., None], image[part], np.uint8(0))
    if canvas == "text2seg":
        rows, columns = image.shape[:2]
        cut[max(0, columns - y) :] = 0
        cut[:, max(0, rows - x) :] = 0
    return cut
