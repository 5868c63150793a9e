"""The per-image rows of a run, each with how well the pipeline did on its image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.results.files import ROWS, reading

BATCH = 4096
"""Rows that are read at a time."""


def per_image(folder: Path, ids: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Read the per-image rows of a run with a ``quality`` in [-1, 1] each: low is wrong, high is right.

    Args:
        folder: of the run.
        ids: of the images whose rows are wanted; None: all.

    Raises:
        ResultsError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with reading(folder / ROWS), pq.ParquetFile(folder / ROWS) as file:
        known = np.zeros(0)
        if "image_score" in file.schema_arrow.names:
            scores = file.read(["image_score"])["image_score"].drop_null().to_numpy()
            known = np.sort(scores)
        rows: list[dict[str, Any]] = []
        wanted = None if ids is None else pa.array(sorted(ids), pa.string())
        for batch in file.iter_batches(batch_size=BATCH):
            rows += (batch if wanted is None else batch.filter(pc.is_in(batch["id"], wanted))).to_pylist()
        for row in rows:
            row["quality"] = _quality(row, known)
        return rows


def number_of_images(folder: Path) -> int:
    """Return how many rows the per-image table of a run has; raises ResultsError where it is damaged."""
    import pyarrow.parquet as pq

    with reading(folder / ROWS):
        return int(pq.read_metadata(folder / ROWS).num_rows)


def _quality(row: Mapping[str, Any], scores: np.ndarray) -> float:
    """IoU of a defective image; else how high its score stands among all, or whether the label is right."""
    if row["outcome"] != "ok":
        return -1.0
    defective = bool(row["defective"])
    if defective and row.get("iou") is not None:
        return float(row["iou"])
    if row.get("image_score") is not None and len(scores) > 1:
        score = row["image_score"]
        first, last = np.searchsorted(scores, score), np.searchsorted(scores, score, "right") - 1
        place = float(first + last) / 2 / (len(scores) - 1)  # equal scores stand in the middle of their places
        return place if defective else 1.0 - place
    if row.get("label") is not None:
        return float(bool(row["label"]) == defective)
    return 0.0
