"""The table over the points of a sweep: its columns in their order, its best point, its failed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import ResultsError
from benchmark.report.points import summarise
from benchmark.results.files import read_result
from tests.harness import SMALL_SAT, run

POLICIES = ("always_defective", "always_good", "prevalence")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run for each constant answer."""
    folder = tmp_path_factory.mktemp("runs")
    metrics = "metric.names=[f2,precision,image_auroc]"
    chosen = [*SMALL_SAT, "pipeline=constant", metrics]
    return {p: run(folder, *chosen, f"pipeline.policy={p}").folder for p in POLICIES}


def point(folder: Path, number: int, overrides: dict[str, str], **more: Any) -> None:
    path = folder / "points" / f"{number:05d}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({"number": number, "overrides": overrides, "status": "ok", **more}))


@pytest.fixture
def swept(runs: dict[str, Path], tmp_path: Path) -> Path:
    """Three points that ran, and one that failed; two keys are swept, one is the same for all, one is no parameter."""
    for number, (policy, cut) in enumerate(zip(POLICIES, ("0.5", "1", "null"), strict=True)):
        values = {"run.seed": str(number % 2), "pipeline.policy": policy, "pipeline": "constant", "cut": cut}
        point(tmp_path, number, values | {"run.shard": f"{number}/3"}, run=runs[policy].name)
    failed = {"run.seed": "1", "pipeline": "constant", "cut": "2"}
    point(tmp_path, 3, failed, status="failed", message="no such policy")
    return tmp_path


METRICS = ["f2", "precision", "image_auroc"]


def test_columns_stand_in_the_order_of_the_command_line_and_of_the_metrics(swept: Path, runs: dict[str, Path]) -> None:
    summary = summarise(swept, runs["prevalence"].parent, objective=None)
    assert summary.parameters == ["run.seed", "pipeline.policy", "cut"]
    order = ["number", "best", *summary.parameters, "status", "message", "run"]
    order += [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    for table in (summary.table, pd.read_parquet(swept / "points.parquet"), pd.read_csv(swept / "points.csv")):
        assert list(table) == order
        assert list(table["number"]) == [0, 1, 2, 3]
    head = (swept / "points.csv").read_text().splitlines()[0]
    assert head == ",".join(order)


def test_rows_hold_the_points_and_their_results(swept: Path, runs: dict[str, Path]) -> None:
    table = summarise(swept, runs["prevalence"].parent, objective=None).table
    assert list(table["run.seed"]) == [0, 1, 0, 1] and table["run.seed"].dtype == "int64"
    assert list(table["cut"]) == ["0.5", "1", "null", "2"], "a column has one type"
    assert list(table["pipeline.policy"][:3]) == list(POLICIES) and pd.isna(table["pipeline.policy"][3])
    assert list(table["status"]) == ["ok", "ok", "ok", "failed"] and table["message"][3] == "no such policy"
    for at, policy in enumerate(POLICIES):
        row = read_result(runs[policy]).headline()["f2"]
        assert (table["f2"][at], table["f2_low"][at], table["f2_high"][at]) == (row.value, row.low, row.high)
        assert table["run"][at] == runs[policy].name and pd.isna(table["message"][at])
    assert table.iloc[3][[*METRICS, "f2_low", "f2_high"]].isna().all()


@pytest.mark.parametrize(
    ("objective", "best"), [(None, 0), ("f2", 0), ("image_auroc", None), ("precision", None), ("no_such", None)]
)
def test_the_best_point_has_the_largest_objective(
    objective: str | None, best: int | None, swept: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarise(swept, runs["prevalence"].parent, objective=objective)
    table = summary.table
    assert summary.metric == (objective or "f2") and summary.failed == 1
    if objective == "no_such":
        assert not table["best"].any() and summary.best_metrics == {}
        assert (
            "no best point, as no_such is undefined in all; run.objective=f2 takes another" in capsys.readouterr().out
        )
        return
    (at,) = table.index[table["best"]]
    assert table[summary.metric][at] == table[summary.metric].max()
    if best is not None:
        assert at == best
    wanted = {f"best/{m}{end}": table[f"{m}{end}"][at] for m in METRICS for end in ("", "_low", "_high")}
    assert dict(summary.best_metrics) == {k: v for k, v in wanted.items() if v == v}


def test_the_printed_table_marks_the_best_and_says_what_failed(
    swept: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = summarise(swept, runs["prevalence"].parent, objective="f2").table
    said = capsys.readouterr().out.splitlines()
    assert said[0].strip() == "4 points, best by f2"
    (head,) = [line for line in said if "remark" in line]
    names = [cell.strip() for cell in head.strip("┃").split("┃")]
    assert names == ["", "run.seed", "policy", "cut", *METRICS, "95 % interval", "remark"]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in said if line.startswith("│")]
    assert [row[0] for row in rows] == ["→", "", "", ""]
    assert rows[0][1:4] == ["0", "always_defective", "0.5"]
    assert rows[0][4] == f"{table['f2'][0]:.4f}"
    assert rows[0][-2] == f"[{table['f2_low'][0]:.3f}, {table['f2_high'][0]:.3f}]" and rows[1][-2] == ""
    assert rows[3][1:4] == ["1", "–", "2"], "a setting that the point does not have"
    assert rows[3][-1] == "failed: no such policy" and rows[0][-1] == ""
    assert rows[3][4:7] == ["–"] * 3 and rows[1][5] == "–", "undefined is no number"
    assert said[-1] == f"sweep: {swept}"


def test_points_that_were_not_tracked_count_as_failed(swept: Path, runs: dict[str, Path]) -> None:
    point(swept, 4, {"cut": "3"}, status="not tracked", message="no server", run=runs["prevalence"].name)
    summary = summarise(swept, runs["prevalence"].parent, objective=None)
    assert summary.failed == 2 and summary.table["f2"].notna().sum() == 4


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("0", "1"), [0, 1]),
        (("0.5", "1"), [0.5, 1.0]),
        (("null", "5"), ["null", "5"]),
        (("[1,2]", "0.1"), ["[1,2]", "0.1"]),
        (("1e-3", "-2"), [0.001, -2.0]),
        (("true", "false"), ["true", "false"]),
    ],
)
def test_a_parameter_is_a_column_of_numbers_where_all_its_values_are(
    given: tuple[str, str], kept: list[Any], tmp_path: Path
) -> None:
    for number, value in enumerate(given):
        point(tmp_path, number, {"p": value}, status="failed", message="x")
    assert list(summarise(tmp_path, tmp_path, objective=None).table["p"]) == kept
    assert list(pd.read_parquet(tmp_path / "points.parquet")["p"]) == kept


def test_shards_stand_in_no_row_once_one_has_merged(runs: dict[str, Path], tmp_path: Path) -> None:
    for number in range(3):
        point(tmp_path, number, {"run.shard": f"{number + 1}/3"}, status="shard")
    root = runs["prevalence"].parent
    assert list(summarise(tmp_path, root, objective=None).table["status"]) == ["shard"] * 3
    point(tmp_path, 2, {"run.shard": "3/3"}, run=runs["prevalence"].name)
    summary = summarise(tmp_path, root, objective=None)
    assert list(summary.table["number"]) == [2] and summary.parameters == [] and summary.failed == 0


def test_a_sweep_in_which_nothing_is_defined_has_no_metric(tmp_path: Path) -> None:
    point(tmp_path, 0, {"a": "1"}, status="failed", message="x")
    summary = summarise(tmp_path, tmp_path, objective=None)
    assert summary.metric is None and summary.failed == 1 and dict(summary.best_metrics) == {}
    assert list(summary.table) == ["number", "best", "status", "message", "run"]


def test_a_folder_without_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"points holds no points"):
        summarise(tmp_path, tmp_path, objective=None)


def test_the_best_point_is_at_the_end_that_the_metric_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from benchmark.report import points
    from benchmark.report.ranks import rank
    from benchmark.scoring.metrics import registry

    rows = [{"number": i, "f2": value} for i, value in enumerate((None, 0.4, 0.1, 0.9, 0.1))]
    assert list(points._frame(rows, "f2")["best"]) == [False, False, False, True, False]
    values = np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.0, 0.5, 0.6]])
    assert rank("f2", values, ("a", "b", "c"), ("d",)).methods == ("c", "b", "a")
    lower = {**registry.METRICS, "f2": replace(registry.METRICS["f2"], higher_is_better=False)}
    monkeypatch.setattr(registry, "METRICS", lower)
    assert list(points._frame(rows, "f2")["best"]) == [False, False, True, False, False]
    assert rank("f2", values, ("a", "b", "c"), ("d",)).methods == ("a", "b", "c")
