"""What tells runs apart that stand together."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.resources import REFERENCE
from benchmark.report.page_board import board
from benchmark.report.page_findings import candidates
from benchmark.report.run_names import names, settings_apart
from benchmark.results import files
from tests.data.dataset_trees import mvtec_tree
from tests.harness import SMALL_SAT, run


def test_runs_on_other_data_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two products read by dataset=folder stand in a column each; the data's fingerprint says which is which."""
    words = (*SMALL_SAT, "pipeline=constant")
    runs = [run(tmp_path, *words, f"dataset.n_defective={n}").result for n in (6, 3)]
    apart = settings_apart(runs)
    columns = board(runs)["columns"]
    assert [c["name"] for c in columns] == ["sat, 12 images", "sat, 9 images"]
    for result, column in zip(runs, columns, strict=True):
        always = next(r.values["f2"] for r in result.baselines if r.policy == "always_defective")
        assert f"always defective F2 {always:.3f}" in column["constants"]
    assert [f"data {r.dataset.fingerprint[:8]}" in apart[r.id] for r in runs] == [True, True]
    assert settings_apart(runs[:1]) == {runs[0].id: ""} and names(runs[:1]) == {runs[0].id: "constant"}
    folders = [mvtec_tree(tmp_path / name, train=number).parent for name, number in (("old", 3), ("new", 4))]
    runs = [run(tmp_path, "dataset=folder", f"dataset.path={folder}", "pipeline=constant").result for folder in folders]
    assert [name.split()[1] for name in settings_apart(runs).values()] == ["old", "new"]


def test_what_differs_names_runs_and_at_last_the_time_and_the_id(tmp_path: Path) -> None:
    one = run(tmp_path, *SMALL_SAT, "pipeline=constant").result
    seed = run(tmp_path, *SMALL_SAT, "pipeline=constant", "run.seed=3").result
    assert list(names([one, seed]).values()) == ["constant · seed 0", "constant · seed 3"]
    later = one.measured.model_copy(update={"started": "2030-01-02T03:04:05+00:00"})
    again = one.model_copy(update={"id": "x-again", "measured": later})
    found = names([one, again, again.model_copy(update={"id": "x-third"})])
    assert found["x-again"] == "constant · 2030-01-02 03:04 · x-again"
    assert found[one.id] == f"constant · {one.measured.started[:16].replace('T', ' ')}"


def test_only_runs_of_different_seeds_are_called_so() -> None:
    """The same method run again, for other metrics, is no second seed."""
    first = files.read_result(REFERENCE / "sat-patchcore")
    metrics = {**first.config, "metric": {"names": ["image_auroc"]}}
    again = first.model_copy(update={"id": "again", "config": metrics})
    other = first.model_copy(update={"id": "other", "config": {**first.config, "run": {"seed": 7}}})
    (one,) = candidates([first, again], "image_auroc")
    assert one.seeds == 1 and one.run is first
    (both,) = candidates([first, again, other], "image_auroc")
    assert both.seeds == 2
