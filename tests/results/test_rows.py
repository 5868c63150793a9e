"""How well a pipeline did on each image, for the order in which a report shows them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.results.files import ROWS
from benchmark.results.rows import per_image


def qualities(folder: Path, scores: list[float]) -> list[float]:
    """Of as many images, every other one defective."""
    rows = [
        {"id": str(at), "outcome": "ok", "defective": bool(at % 2), "image_score": score, "iou": None, "label": None}
        for at, score in enumerate(scores)
    ]
    pd.DataFrame(rows).to_parquet(folder / ROWS)
    return [row["quality"] for row in per_image(folder)]


def test_a_score_counts_by_its_place_and_equal_scores_say_nothing(tmp_path: Path) -> None:
    assert qualities(tmp_path, [0.1, 0.9, 0.5]) == [1.0, 1.0, 0.5]
    assert qualities(tmp_path, [0.9, 0.1]) == [0.0, 0.0]
    assert qualities(tmp_path, [0.3, 0.3, 0.3, 0.3]) == [0.5] * 4
