"""A run as a FiftyOne dataset on disk: images where they lie, labels, scores, masks and score maps beside them.

``fiftyone.Dataset.from_dir(FOLDER, dataset_type=fiftyone.types.FiftyOneDataset)``. The folder has the form without a
version, which FiftyOne goes on reading and whose fields it finds by itself (voxel51/fiftyone:fiftyone/utils/data/
importers.py, LegacyFiftyOneDatasetImporter); the other one is bound to the version of its database.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.core.text import encodable
from benchmark.results.export_coco import found
from benchmark.results.export_files import score_of, whole, write_mask

FOLDER = "fiftyone"
SCORES, TRUTH, MASK = "score_map", "ground_truth_mask", "predicted_mask"
"""Fields whose pictures lie in ``fields/<name>/``, where FiftyOne looks for what a relative path is of."""


class FiftyOneWriter:
    """Writes pictures as images come and the list of samples when the block ends well.

    A score map is a PNG of 8 bits between the smallest and the largest score of its image, the fields ``score_low``
    and ``score_high``; its ``range`` shows all maps on one scale, from the smallest to the largest score of the run.

    Args:
        folder: ``fiftyone`` below the export.
        run: id of the run, kept in the dataset's info.
    """

    def __init__(self, folder: Path, *, run: str) -> None:
        self._folder, self._run = folder, run
        self._low, self._high = float("inf"), float("-inf")
        self.samples = 0

    def __enter__(self) -> Self:
        self._lines = tempfile.TemporaryFile("w+", encoding="utf-8")
        for name in ("metadata.json", "samples.json"):
            (self._folder / name).unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._lines:
            if kind is None:
                self._finish()

    def add(
        self,
        sample: Sample,
        prediction: Prediction,
        scores: NDArray[Any] | None,
        mask: NDArray[np.bool_] | None,
        *,
        name: str,
        shape: tuple[int, int],
        truth: GroundTruth | None,
    ) -> None:
        """Add an image.

        Args:
            sample: the image.
            prediction: of it; of one without answer outcome and message alone are kept.
            scores: (H, W), the score map; None: there is none.
            mask: (H, W), the decision; None: there is none.
            name: of its pictures, a relative path that no other image has, without an ending.
            shape: (H, W) of the image; (0, 0) where that cannot be told.
            truth: None, or not known: no true mask is written.
        """
        self.samples += 1
        score, ok = score_of(prediction, scores), prediction.outcome == "ok"
        facts: dict[str, Any] = {
            "filepath": encodable(str(sample.image.resolve())),
            "tags": [sample.split],
            "image_id": encodable(sample.id),
            "category": sample.category,
            "defect_type": sample.defect_type,
            "outcome": prediction.outcome,
            "ground_truth": None if sample.defective is None else _class(sample.defective),
            "prediction": None if prediction.label is None else _class(prediction.label),
            "image_score": score if ok else None,
            "message": prediction.message,
        }
        if truth is not None and truth.known and truth.mask.shape == shape:
            facts[TRUTH] = {"_cls": "Segmentation", "tags": [], "mask_path": self._picture(TRUTH, name, truth.mask)}
        if mask is not None:
            facts[MASK] = {"_cls": "Segmentation", "tags": [], "mask_path": self._picture(MASK, name, mask)}
        if scores is not None:
            facts |= self._map(name, scores)
        if shape != (0, 0) and ok and (mask is not None or prediction.regions is not None):
            parts = found(prediction, scores, mask)
            facts["regions"] = {"_cls": "Detections", "detections": [_box(box, s, shape) for _, box, s in parts]}
        self._lines.write(json.dumps(facts, ensure_ascii=False) + "\n")

    def _map(self, name: str, scores: NDArray[Any]) -> dict[str, Any]:
        low, high = float(scores.min()), float(scores.max())
        self._low, self._high = min(self._low, low), max(self._high, high)
        levels = np.round((scores.astype(np.float64) - low) / ((high - low) or 1.0) * 255.0).astype(np.uint8)
        heatmap = {"_cls": "Heatmap", "tags": [], "map_path": self._picture(SCORES, name, levels)}
        return {SCORES: heatmap, "score_low": low, "score_high": high}

    def _picture(self, field: str, name: str, values: NDArray[Any]) -> str:
        place = Path("fields", field, f"{name}.png")
        write_mask(self._folder / place, values)
        return encodable(place.as_posix())

    def _finish(self) -> None:
        self._lines.seek(0)
        with whole(self._folder / "samples.json") as file:
            file.write(b'{"samples": [')
            for number, line in enumerate(self._lines):
                facts = json.loads(line)
                if SCORES in facts:
                    facts[SCORES]["range"] = self._range(facts["score_low"], facts["score_high"])
                file.write((",\n" if number else "\n").encode() + json.dumps(facts, ensure_ascii=False).encode())
            file.write(b"\n]}\n")
        with whole(self._folder / "metadata.json") as file:
            facts = {"media_type": "image", "info": {"run": self._run, "made_by": "fm-defect-bench"}}
            file.write(json.dumps(facts).encode())

    def _range(self, low: float, high: float) -> list[float]:
        """Return smallest and largest score of the run in levels of one image's map."""
        span = (high - low) or 1.0
        return [(end - low) / span * 255.0 for end in (self._low, self._high if self._high > self._low else low + span)]


def _class(defective: bool) -> dict[str, Any]:
    return {"_cls": "Classification", "tags": [], "label": "defective" if defective else "good"}


def _box(box: tuple[int, ...], score: float, shape: tuple[int, int]) -> dict[str, Any]:
    """Return a region as FiftyOne has it: left, top, width, height as shares of the image."""
    sides = (shape[1], shape[0]) * 2
    shares = [value / side for value, side in zip(box, sides, strict=True)]
    return {"_cls": "Detection", "tags": [], "label": "defect", "bounding_box": shares, "confidence": score}
