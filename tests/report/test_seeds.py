"""Spread over seeds: by hand, for every setting apart, and only where seeds were swept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.points import summarise
from benchmark.report.seeds import is_seed, over_seeds, seeds_grid
from tests.harness import SMALL_SAT, run


def points() -> pd.DataFrame:
    values = {"a": (0.2, 0.4, 0.9), "b": (0.5, None, None)}
    rows = [
        {"pipeline.kind": kind, "run.seed": seed, "status": "ok", "f1_max": value, "recall": 1.0}
        for kind, own in values.items()
        for seed, value in enumerate(own)
    ]
    rows += [{"pipeline.kind": "c", "run.seed": 0, "status": "ok", "f1_max": 0.1, "recall": 1.0}]
    rows += [{"pipeline.kind": "c", "run.seed": 1, "status": "failed", "f1_max": None, "recall": None}]
    return pd.DataFrame(rows)


def test_every_setting_has_its_mean_and_spread() -> None:
    spread = over_seeds(points(), ["pipeline.kind", "run.seed"], ["f1_max", "recall"])
    assert spread is not None and spread["pipeline.kind"].tolist() == ["a", "b"]  # c finished once
    first, second = spread.to_dict("records")
    assert (first["seeds"], first["f1_max_least"], first["f1_max_most"]) == (3, 0.2, 0.9)
    assert first["f1_max_mean"] == pytest.approx(0.5)
    assert first["f1_max_sd"] == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert (first["recall_sd"], second["f1_max_mean"]) == (0.0, 0.5)
    assert math.isnan(second["f1_max_sd"])  # one seed has a value: no spread
    grid = seeds_grid(spread, ["pipeline.kind", "run.seed"], ["f1_max", "recall"])
    assert grid.columns == ("kind", "seeds", "f1_max (oracle)", "recall")
    assert grid.rows[0] == ("a", "3", "0.5000 ± 0.3606 (0.2000 – 0.9000)", "1.0000 ± 0.0000 (1.0000 – 1.0000)")
    assert grid.rows[1][2] == "0.5000"


def test_without_seeds_there_is_no_spread() -> None:
    table = points()
    assert over_seeds(table, ["pipeline.kind"], ["f1_max"]) is None
    assert over_seeds(table[table["run.seed"] == 0], ["pipeline.kind", "run.seed"], ["f1_max"]) is None
    seeds = [is_seed(p) for p in ("run.seed", "dataset.split_seed", "pipeline.normals.seed", "pipeline.seeded", "seed")]
    assert seeds == [True, True, True, False, True]


def test_a_sweep_over_seeds_prints_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [*SMALL_SAT, "pipeline=constant", "pipeline.policy=prevalence", "metric.names=[image_auroc]"]
    done = [run(tmp_path / "runs", *chosen, f"run.seed={seed}") for seed in (0, 1, 2)]
    (tmp_path / "points").mkdir()
    for number, one in enumerate(done):
        point = {"number": number, "overrides": {"run.seed": str(number)}, "status": "ok", "run": one.folder.name}
        (tmp_path / "points" / f"{number}.json").write_text(json.dumps(point))
    capsys.readouterr()
    summarise(tmp_path, done[0].folder.parent, objective=None)
    out = capsys.readouterr().out
    assert "Spread over seeds" in out and "±" in out
    (row,) = pd.read_csv(tmp_path / "seeds.csv").to_dict("records")
    values = [next(m.value for m in one.result.metrics if m.category == "mean") for one in done]
    assert row["seeds"] == 3 and row["image_auroc_mean"] == pytest.approx(sum(values) / 3)
    assert row["image_auroc_sd"] > 0
