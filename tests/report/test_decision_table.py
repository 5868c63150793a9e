"""The table of decisions of a run, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.decision_table import grid, judged
from benchmark.scoring.decision import Costs
from tests.harness import SMALL_SAT, run


@pytest.mark.parametrize(("rate", "told"), [(0.5, False), (0.05, True)])
def test_a_rate_that_so_few_good_images_cannot_set_is_told(rate: float, *, told: bool, tmp_path: Path) -> None:
    finished = run(tmp_path, *SMALL_SAT, "pipeline=reference_difference")
    found = judged(finished.result, finished.folder, costs=Costs(), rate=rate)
    table = grid(finished.result, found)
    assert table.title == "sat × reference_difference: image decisions"
    said = any(f"a false-alarm rate of {rate:.3g} takes 19 good images to set" in note for note in table.notes)
    assert said is told
    (row,) = (row for row in table.rows if row[0].startswith("validation half, good images alone"))
    assert (row[2] == "0") is told, "nothing is called defective"
    assert not any("regions" in note for note in table.notes)


def test_false_regions_are_counted_apart_for_good_images(tmp_path: Path) -> None:
    finished = run(
        tmp_path, *SMALL_SAT, "pipeline=reference_difference", "metric.names=[image_auroc,region_recall,false_regions]",
        "protocol.normalisation=image", "protocol.iou_threshold=0.5",
    )  # fmt: skip
    rows = pd.read_parquet(finished.folder / "per_image.parquet")
    good, bad = rows[~rows["defective"]], rows[rows["defective"]]
    table = grid(finished.result, judged(finished.result, finished.folder, costs=Costs(), rate=0.05))
    (note,) = (note for note in table.notes if "regions" in note)
    assert f"{good['false_regions'].mean():.2f} an image in {len(good)} good ones" in note
    assert f"{bad['region_recall'].mean():.3f} of the defect regions found, mean over {len(bad)} images" in note
    assert good["false_regions"].mean() > 0 and good["region_recall"].isna().all()
