"""SAA, SAA+ and AnomalyVLM as whole runs, with tiny models of the real classes and random weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark.config.prompt_files import FOLDER
from benchmark.pipelines.saa.prompts import USUAL
from benchmark.report.tables import print_result
from tests.data.dataset_trees import save
from tests.harness import command, run
from tests.tiny_models import one_thread, tiny  # noqa: F401

MVTEC = yaml.safe_load((FOLDER / "mvtec.yaml").read_text(encoding="utf-8"))["categories"]


def tree(root: Path, categories: list[str], *, size: tuple[int, int] = (48, 64)) -> None:
    """Write a good and a defective image of each category in MVTec layout."""
    rng = np.random.default_rng(0)
    for category in categories:
        for place in ("train/good", "test/good", "test/hole"):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            save(root / category / place / "000.png", pixels)
        mask = np.zeros(size, dtype=np.uint8)
        mask[10:20, 10:30] = 255
        save(root / category / "ground_truth" / "hole" / "000_mask.png", mask)


def metrics(finished: Any) -> dict[tuple[str, str], float | None]:
    return {(row.metric, row.category): row.value for row in finished.result.metrics}


@pytest.mark.slow
def test_every_category_of_mvtec_is_asked_its_own_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path / "data" / "mvtec", list(MVTEC))
    finished = run(tmp_path, "dataset=mvtec", "dataset.allow_partial=true", "pipeline=saa_plus", *tiny("saa_plus"))
    result = finished.result
    assert result.protocol.name == "saa_plus"
    values = metrics(finished)
    assert {category for metric, category in values if metric == "ap"} == {*MVTEC, "mean", "pooled"}
    assert values["f1_max", "mean"] == pytest.approx(np.mean([values["f1_max", c] for c in MVTEC]))
    computed = result.measured.samples_computed
    assert computed["groundingdino"] == computed["saa_regions"] == 30
    asked = {tuple(facts["settings"]["captions"]) for facts in stage_facts(tmp_path, "groundingdino")}
    assert len(asked) == 15
    assert any("screw,." in captions for captions in asked)
    print_result(finished)
    shown = capsys.readouterr().out
    assert "not comparable with them: the dataset has 30 of 1725 images; random weights" in shown
    data = result.dataset.model_copy(update={"n_samples_expected": result.dataset.n_samples_original})
    print_result(replace(finished, result=result.model_copy(update={"dataset": data, "meaningless": False})))
    whole = capsys.readouterr().out
    assert "not comparable" not in whole
    for text in (shown, whole):
        printed = {(c[1].split(" ")[0], c[2]): c[7] for line in text.splitlines() if len(c := cells(line)) > 8}
        assert printed["f1_max", "mean"].startswith("39.40 % saa_plus_2023,")  # the cell may go on below
        assert printed["ap", "bottle"] == "32.56 % repro_syduc7421"
    assert printed["ap", "pooled"] == printed["f2", "mean"] == ""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")]


def stage_facts(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(p.read_text()) for p in (folder / "cache" / "stages" / stage).glob("*.json")]


def test_several_objects_are_compared_with_each_other(tmp_path: Path) -> None:
    tree(tmp_path / "data" / "parts", ["macaroni1"])
    finished = run(
        tmp_path,
        "dataset=folder",
        f"dataset.path={tmp_path / 'data' / 'parts'}",
        "pipeline=saa_plus",
        "pipeline.prompts=visa",
        *tiny("saa_plus"),
    )
    computed = finished.result.measured.samples_computed
    assert computed["saa_objects"] == computed["saa_saliency"] == 2


@pytest.mark.parametrize("edited", ["parts", "generic"])
def test_an_edited_prompt_table_makes_another_run(edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that the dataset finds by its name, and the one that every table rests on."""
    tree(tmp_path / "data" / "parts", ["gasket"])
    for name, text in (("parts", "source: ours\ncategories: {gasket: {}}\n"), ("generic", USUAL.read_text())):
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setattr("benchmark.config.prompt_files.FOLDER", tmp_path)
    monkeypatch.setattr("benchmark.pipelines.saa.prompts.USUAL", tmp_path / "generic.yaml")
    words = (
        *("dataset=folder", f"dataset.path={tmp_path / 'data' / 'parts'}", "dataset.name=parts"),
        *("pipeline=saa_plus", "run.overwrite=never", *tiny("saa_plus")),
    )
    first = run(tmp_path, *words)
    assert run(tmp_path, *words).reused
    with (tmp_path / f"{edited}.yaml").open("a") as table:
        table.write("# edited\n")
    second = run(tmp_path, *words)
    assert not second.reused
    key = "pipeline.prompts" if edited == "parts" else "pipeline.prompts.generic"
    before, after = first.result.config["files"], second.result.config["files"]
    assert {name for name in before if before[name] != after[name]} == {key}


@pytest.mark.parametrize("name", ["saa", "anomalyvlm"])
def test_the_other_profiles_run(name: str, tmp_path: Path) -> None:
    tree(tmp_path / "data" / "parts", ["gasket"])
    finished = run(
        tmp_path, "dataset=folder", f"dataset.path={tmp_path / 'data' / 'parts'}", f"pipeline={name}", *tiny(name)
    )
    assert finished.result.dataset.n_samples_effective == 2
    assert metrics(finished)["ap", "mean"] is not None


@pytest.mark.slow
def test_the_ablation_is_one_sweep_that_embeds_every_image_once(tmp_path: Path) -> None:
    tree(tmp_path / "data" / "parts", ["gasket"])
    words = ["-m", "dataset=folder", f"dataset.path={tmp_path / 'data' / 'parts'}", "pipeline=saa_plus"]
    done = command(*words, "pipeline.prompts=generic", *tiny("saa_plus"), "+sweep=saa_ablation", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (points,) = (tmp_path / "results" / "sweeps").glob("*/points.parquet")
    table = pd.read_parquet(points)
    assert len(table) == 16 and (table["status"] == "ok").all() and table["best"].sum() == 1
    assert table["f1_max"].nunique() > 2
    results = [json.loads(p.read_text()) for p in (tmp_path / "results" / "runs").glob("*/result.json")]
    computed = sum((Counter(r["measured"]["samples_computed"]) for r in results), Counter())
    images = 2
    assert computed["sam_embedding"] == computed["saa_saliency"] == images
    assert computed["groundingdino"] == 4 * images, "two sets of questions, with and without the object's name"


@pytest.mark.slow
@pytest.mark.realdata
def test_area_and_number_cost_nothing_on_real_images(real_data: Path, tmp_path: Path) -> None:
    base = (
        f"run.data_root={real_data}",
        "dataset=mtd",
        "pipeline=saa_plus",
        "run.limit=6",
        "pipeline.area_ceiling=1.0",
        *tiny("saa_plus"),
    )
    computed, seen = [], set()
    for area in (0.1, 0.9):
        for number in (1, 5):
            finished = run(tmp_path, *base, f"pipeline.max_area={area}", f"pipeline.top_k={number}")
            computed.append(sum(finished.result.measured.samples_computed.values()))
            seen.add(metrics(finished)["ap", "mean"])
    assert computed[0] > 0
    assert computed[1:] == [0, 0, 0]
    assert len(seen) > 1
