"""What the leaderboards tell apart."""

from __future__ import annotations

from pathlib import Path

from benchmark.report.page_data import boards, settings_apart
from tests.data.dataset_trees import mvtec_tree
from tests.harness import SMALL_SAT, run


def test_runs_on_other_data_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two products read by dataset=folder stand in one board; the data's fingerprint says which is which."""
    words = (*SMALL_SAT, "pipeline=constant")
    runs = [run(tmp_path, *words, f"dataset.n_defective={n}").result for n in (6, 3)]
    apart = settings_apart(runs)
    (board,) = boards(runs)
    for result in runs:
        always = next(r.values["f2"] for r in result.baselines if r.policy == "always_defective")
        assert f"data {result.dataset.fingerprint[:8]}: always defective F2 {always:.3f}" in board["constants"]
    assert "data" not in boards(runs[:1])[0]["constants"]
    assert [f"data {r.dataset.fingerprint[:8]}" in apart[r.id] for r in runs] == [True, True]
    assert "data" not in settings_apart(runs[:1])[runs[0].id]
    folders = [mvtec_tree(tmp_path / name, train=number).parent for name, number in (("old", 3), ("new", 4))]
    runs = [run(tmp_path, "dataset=folder", f"dataset.path={folder}", "pipeline=constant").result for folder in folders]
    assert [name.split()[1] for name in settings_apart(runs).values()] == ["old", "new"]
