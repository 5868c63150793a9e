"""Ranks of several methods: Demšar's example, the table, the picture, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.report import page as report
from benchmark.report.charts import alike, critical_difference
from benchmark.report.ranks import compare_many, rank, rankings
from benchmark.report.run_names import method_names
from benchmark.results import files
from benchmark.results.schema import RunResult
from tests.data.dataset_trees import mvtec_tree
from tests.harness import SMALL_SAT, run

PLACES = np.array(
    [
        [4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1],
        [2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5], [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3],
        [3, 1, 4, 2],
    ]
)  # fmt: skip
"""Ranks of four variants of C4.5 on 14 data sets (Demšar 2006, Table 6)."""


def test_demsars_example() -> None:
    found = rank("auc", -PLACES, ["C4.5", "+m", "+cf", "+m+cf"], ["uci"])
    assert found.methods == ("+m+cf", "+m", "+cf", "C4.5")
    assert found.ranks == pytest.approx((1.964, 2.0, 2.893, 3.143), abs=1e-3)
    assert found.critical == pytest.approx(1.25, abs=5e-3)
    assert 0.01 < found.friedman < 0.05
    assert set(found.wilcoxon) == {(a, b) for i, a in enumerate(found.methods) for b in found.methods[i + 1 :]}
    for raw, corrected in found.wilcoxon.values():
        assert 0 < raw <= corrected <= 1
    assert alike(found) == [(found.ranks[0], found.ranks[-1])], "no two of them differ by Nemenyi's test"


def test_bars_join_what_does_not_differ_and_only_that() -> None:
    values = np.tile([0.9, 0.85, 0.5, 0.1], (30, 1)) + np.random.default_rng(0).normal(0, 0.1, (30, 4))
    found = rank("ap", values, list("abcd"), ["x"])
    assert set(found.methods[:2]) == {"a", "b"} and found.methods[2:] == ("c", "d")
    assert alike(found) == [(found.ranks[0], found.ranks[1])]


def test_methods_that_are_always_equal_do_not_differ() -> None:
    found = rank("ap", np.full((6, 3), 0.5), ["a", "b", "c"], ["x"])
    assert (found.friedman, set(found.ranks)) == (1.0, {2.0})
    assert all(p == (1.0, 1.0) for p in found.wilcoxon.values())
    bars, methods = (layer["data"]["values"] for layer in critical_difference(found)["layer"])
    assert [bar["row"] for bar in bars] == [f"critical difference {found.critical:.2f}"]
    assert [m["rank"] for m in methods] == [2.0, 2.0, 2.0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    for category in "abcdef":
        mvtec_tree(root / "mine", category=category)
    return root


@pytest.fixture(scope="module")
def folders(place: Path) -> list[Path]:
    words = ("dataset=folder", f"dataset.path={place / 'mine'}", "metric.names=[f2,f1,recall]", "pipeline=constant")
    changes = (("pipeline.policy=always_defective",), ("pipeline.policy=always_good",), ("run.seed=3",))
    return [run(place, *words, *change).folder for change in changes]


def results(folders: list[Path]) -> list[RunResult]:
    """Three methods: the third is the first under another name and a little better."""
    first, second, third = (files.read_result(f) for f in folders)
    better = [m.model_copy(update={"value": min(1.0, m.value + 0.05)}) if m.value else m for m in third.metrics]
    other = third.model_copy(update={"choices": third.choices | {"pipeline": "better"}, "metrics": better})
    return [first, second, other]


def test_runs_are_ranked_over_the_categories_that_they_share(folders: list[Path]) -> None:
    runs = results(folders)
    found = {r.metric: r for r in rankings(runs, method_names(runs))}
    assert found["f2"].methods == ("better", "constant · policy always_defective", "constant · policy always_good")
    assert found["f2"].n == 6
    assert found["f2"].ranks == (1.0, 2.0, 3.0)
    table = compare_many(runs)
    assert table.rows[0][0] == "f2" and table.columns[-1] == "better"


def test_the_page_shows_the_picture(folders: list[Path], place: Path) -> None:
    runs = results(folders)
    page = report.build(list(zip(folders, runs, strict=True)), [])
    assert 'id="ranks"' in page and "Average ranks by f2 over 6 categories of folder" in page


def test_what_cannot_be_ranked_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [run(place, *SMALL_SAT, "pipeline=constant", f"run.seed={seed}").folder.name for seed in (0, 1, 2)]
    other = run(place, *SMALL_SAT, "pipeline=constant", "protocol=saa_plus").folder.name
    root = str(place / "results")
    assert main(["compare", *names, "--results-root", root]) == 1
    assert "ranks need three methods and 5 categories" in capsys.readouterr().err
    assert main(["compare", *names[:2], other, "--results-root", root]) == 1
    assert "different protocols" in capsys.readouterr().err
