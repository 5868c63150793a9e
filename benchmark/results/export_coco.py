"""Predictions as COCO: the images with their true defects, and a list of results that COCO's tools and FiftyOne read.

``pycocotools.coco.COCO(coco.json).loadRes(coco_results.json)``;
``fiftyone.utils.coco.add_coco_labels(dataset, "predictions", coco_results.json, categories=…)``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.atomic import open_temporary
from benchmark.core.run_lengths import placed_code
from benchmark.core.samples import GroundTruth, Prediction, Sample

IMAGES = "coco.json"
RESULTS = "coco_results.json"
CATEGORY = {"id": 1, "name": "defect", "supercategory": "defect"}
"""The only class: a region is a defect, of whatever product."""
UNLOCATED = "unlocated"
"""Key of an image whose prediction says nothing of places, or that has none: it is not one without defects."""


class CocoWriter:
    """Writes both files as images come; memory does not grow with them.

    Args:
        folder: that they are put into when the block ends well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images = self._truths = self.results = 0

    def __enter__(self) -> Self:
        self._results = open_temporary(self._folder / RESULTS)
        self._whole = open_temporary(self._folder / IMAGES)
        self._annotations = tempfile.TemporaryFile()
        self._results.write(b"[")
        self._whole.write(json.dumps({"categories": [CATEGORY]})[:-1].encode() + b', "images": [')
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._results.write(b"\n]\n")
                self._whole.write(b'\n], "annotations": [')
                self._annotations.seek(0)
                shutil.copyfileobj(self._annotations, self._whole)
                self._whole.write(b"\n]}\n")
                for file, name in ((self._results, RESULTS), (self._whole, IMAGES)):
                    file.flush()
                    Path(file.name).replace(self._folder / name)
        finally:
            for file in (self._results, self._whole):
                Path(file.name).unlink(missing_ok=True)
                file.close()
            self._annotations.close()

    def add(
        self,
        sample: Sample,
        prediction: Prediction,
        scores: NDArray[Any] | None,
        mask: NDArray[np.bool_] | None,
        *,
        shape: tuple[int, int],
        truth: GroundTruth | None,
    ) -> None:
        """Add an image, what is true of it, and what was found in it.

        Args:
            sample: the image.
            prediction: its regions are results of their own; without them the 8-connected parts of the mask are, each
                with the largest score in it.
            scores: (H, W), the score map; None: the parts get the image score, or 1.
            mask: (H, W), the decision; None: without regions nothing is found.
            shape: (H, W) of the image.
            truth: None, or not known: no true defect is written.
        """
        self._images += 1
        height, width = shape
        facts: dict[str, Any] = {"id": self._images, "file_name": sample.id, "height": height, "width": width}
        if prediction.regions is None and mask is None:
            facts[UNLOCATED] = True
        self._write(self._whole, self._images, facts)
        if truth is not None and truth.known and truth.mask.shape == shape:
            for part in parts(truth.mask):
                self._truths += 1
                own = {"id": self._truths, "area": int(part.inside.sum()), "iscrowd": 0}
                place = self._place(part.code, part.box, shape)
                self._write(self._annotations, self._truths, {**place, **own, "defect_type": sample.defect_type})
        for code, box, score in found(prediction, scores, mask):
            self.results += 1
            self._write(self._results, self.results, {**self._place(code, box, shape), "score": score})

    def _place(self, code: bytes, box: tuple[int, ...], shape: tuple[int, int]) -> dict[str, Any]:
        segmentation = {"size": list(shape), "counts": code.decode("ascii")}
        return {"image_id": self._images, "category_id": 1, "segmentation": segmentation, "bbox": list(box)}

    def _write(self, file: Any, number: int, facts: dict[str, Any]) -> None:
        file.write((",\n" if number > 1 else "\n").encode() + json.dumps(facts, ensure_ascii=False).encode())


def found(
    prediction: Prediction, scores: NDArray[Any] | None, mask: NDArray[np.bool_] | None
) -> Iterator[tuple[bytes, tuple[int, ...], float]]:
    """Yield what was found in an image: run-length code, box (left, top, width, height in pixels) and score.

    Args:
        prediction: its regions; without them the 8-connected parts of the mask, each with the largest score in it.
        scores: (H, W), the score map; None: the parts get the image score, or 1.
        mask: (H, W), the decision; None: without regions nothing is found.
    """
    from pycocotools import mask as coco

    if prediction.regions is not None:
        masks = prediction.regions.masks
        for index, score in zip(prediction.regions.index, prediction.regions.scores, strict=True):
            code = masks.counts[index]
            box = coco.toBbox({"size": list(masks.shape), "counts": code})
            if box[2] and box[3]:
                yield code, tuple(int(v) for v in box), float(score)
        return
    usual = 1.0 if prediction.image_score is None else float(prediction.image_score)
    if mask is not None:
        for part in parts(mask):
            left, top, width, height = part.box
            around = None if scores is None else scores[top : top + height, left : left + width]
            yield part.code, part.box, usual if around is None else float(around[part.inside].max())


@dataclass(frozen=True, kw_only=True)
class Part:
    """A connected part of a mask."""

    code: bytes
    """Compressed COCO run-length code in the whole image."""
    box: tuple[int, int, int, int]
    """Left, top, width and height, pixels."""
    inside: NDArray[np.bool_]
    """(height, width) of the box, True on the part."""


def parts(mask: NDArray[np.bool_]) -> Iterator[Part]:
    """Yield the 8-connected parts of a mask, (H, W) bool."""
    import cv2

    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for part in range(1, number):
        left, top, width, height = (int(v) for v in stats[part, :4])
        inside = labels[top : top + height, left : left + width] == part
        code = placed_code(inside, top=top, left=left, shape=(mask.shape[0], mask.shape[1]))
        yield Part(code=code, box=(left, top, width, height), inside=inside)
