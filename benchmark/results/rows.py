"""The per-image rows of a run, each with how well the pipeline did on its image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.results.files import ROWS, reading


def per_image(folder: Path) -> list[dict[str, Any]]:
    """Read the per-image rows of a run with a ``quality`` in [-1, 1] each: low is wrong, high is right.

    Raises:
        ResultsError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with reading(folder / ROWS):
        rows: list[dict[str, Any]] = pq.read_table(folder / ROWS).to_pylist()
        known = np.sort([r["image_score"] for r in rows if r.get("image_score") is not None])
        for row in rows:
            row["quality"] = _quality(row, known)
        return rows


def _quality(row: Mapping[str, Any], scores: np.ndarray) -> float:
    """IoU of a defective image; else how high its score stands among all, or whether the label is right."""
    if row["outcome"] != "ok":
        return -1.0
    defective = bool(row["defective"])
    if defective and row.get("iou") is not None:
        return float(row["iou"])
    if row.get("image_score") is not None and len(scores) > 1:
        place = float(np.searchsorted(scores, row["image_score"])) / (len(scores) - 1)
        return place if defective else 1.0 - place
    if row.get("label") is not None:
        return float(bool(row["label"]) == defective)
    return 0.0
