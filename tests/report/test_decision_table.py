"""The table of decisions of a run, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

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
