"""The committed reference results: whole, portable, comparable with a new run, and shown in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.results import files
from benchmark.results.schema import plain
from benchmark.running import reference
from benchmark.running.forecast import SIZES, cache_sizes
from benchmark.running.reference import REFERENCE, ReferenceRun, differences, entries, make, portable, results_table
from tests.harness import SMALL_SAT, compose, places

COMMITTED = [name for name in entries() if (REFERENCE / name / files.RESULT).exists()]


@pytest.mark.parametrize("name", entries())
def test_every_entry_is_committed_and_readable(name: str) -> None:
    result = files.read_result(REFERENCE / name)
    assert result.digest == result.sealed().digest
    assert not result.meaningless
    assert result.dataset.n_samples_effective == result.dataset.n_samples_original
    assert result.outcomes == {"ok": result.dataset.n_samples_effective}


def test_committed_results_hold_no_place_and_no_picture() -> None:
    for path in REFERENCE.rglob("*"):
        if path.is_file():
            assert path.name in (files.RESULT, "runs.yaml", SIZES.name), path
    assert all("/" not in source for _, _, source in cache_sizes().values()), "numbers, and what they were measured on"
    for name in COMMITTED:
        text = (REFERENCE / name / files.RESULT).read_text(encoding="utf-8")
        assert files.read_result(REFERENCE / name).measured.settings == {}
        assert "data_root" not in text, name
        assert not re.search(r"""["=\s]/\w+/""", text), name


def test_published_counts_stand_in_the_results() -> None:
    sat = files.read_result(REFERENCE / "sat-constant").dataset
    assert (sat.n_good, sat.n_defective) == (231, 32)
    mtd = files.read_result(REFERENCE / "mtd-resnet_mlp").dataset
    assert (mtd.n_good, mtd.n_defective) == (952, 392)
    always = files.read_result(REFERENCE / "sat-constant").metric("f2")
    assert always.value == pytest.approx(160 / 391)


def test_a_run_made_anew_agrees_and_a_changed_value_is_named(tmp_path: Path) -> None:
    entry = ReferenceRun(quick=True, settings=(*SMALL_SAT, "pipeline=reference_difference"))
    first = portable(make(entry, extra=places(tmp_path)[:3]))
    second = portable(make(entry, extra=[*places(tmp_path)[:3], "run.overwrite=always"]))
    assert list(differences(first, second, tolerance=0.0)) == []
    changed = first.metrics[0].model_copy(update={"value": 0.5})
    other = first.model_copy(update={"metrics": [changed, *first.metrics[2:]]})
    assert list(differences(first, other)) == [
        f"{changed.metric} of {changed.category}: 0.5000, committed {first.metrics[0].value:.4f}",
        f"{first.metrics[1].metric} of {first.metrics[1].category} is not reported any more",
    ]
    near = first.metrics[0].model_copy(update={"value": first.metrics[0].low})
    moved = first.model_copy(update={"metrics": [near, *first.metrics[1:]]})
    assert first.metrics[0].low is not None and list(differences(first, moved)) != []
    hardware = {**first.measured.hardware, "cpu": "another"}
    foreign = moved.model_copy(update={"measured": first.measured.model_copy(update={"hardware": hardware})})
    assert list(differences(first, foreign)) == [], "another processor, within the interval"
    elsewhere = make(entry, extra=[*places(tmp_path)[:3], "dataset.seed=3"])
    assert any(said.startswith("dataset fingerprint") for said in differences(first, elsewhere))


def test_the_quick_part_is_as_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = [name for name, entry in entries().items() if entry.quick]
    assert main(["reference", "check", *places(tmp_path)[:3]]) == 0
    said = capsys.readouterr().out
    assert quick and all(f"{name}: as committed" in said for name in quick)
    made = {path.parent.name: files.read_result(path.parent) for path in tmp_path.glob("results/runs/*/result.json")}
    for name in quick:
        committed = files.read_result(REFERENCE / name)
        assert committed.id in made, "a run keeps its id"
        # The digest follows where the machine gives the same floats; constant answers have none that could differ.
        assert "constant" not in name or made[committed.id].digest == committed.digest


def test_the_table_lists_every_committed_run_with_intervals() -> None:
    lines = results_table().splitlines()
    assert len(lines) == 2 + len(COMMITTED)
    sat = next(line for line in lines if line.startswith("| `sat` | `reference_difference`"))
    assert "| 263 |" in sat and "[" in sat
    assert any("of 399" in line for line in lines if line.startswith("| `ksdd1`"))
    held_out = next(line for line in lines if line.startswith("| `mtd`, holdout20 | `patchcore`"))
    assert "| 262 |" in held_out
    assert {"reference_difference", "patchcore", "resnet_mlp"} <= {
        line.split("`")[3] for line in lines if line.startswith("| `sat` |")
    }


def test_the_table_of_the_default_run_is_that_of_no_setting() -> None:
    """What the README shows first is the result of the run that comes of no setting, and says what made it."""
    composed, choices = compose()
    committed = files.read_result(REFERENCE / reference.DEFAULT)
    assert committed.choices["dataset"] == choices["dataset"] and committed.choices["pipeline"] == choices["pipeline"]
    assert committed.config["dataset"] == plain(composed["dataset"])
    assert committed.config["pipeline"] == plain(composed["pipeline"])
    table = reference.default_table()
    assert all(f"| {name} | 0." in table for name in reference.SHOWN_OF_DEFAULT)
    assert "EfficientNet-Lite0" in table and "Apache-2.0" in table and "263 images" in table


def test_unknown_entries_name_the_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "check", "sat-constnat"]) == 1
    assert "sat-constant" in capsys.readouterr().err


def test_pretrained_features_do_what_they_are_known_to_do() -> None:
    """Robust facts of the committed runs: the domain-gap paper's order, and features that beat the constant answer."""

    def value(name: str, metric: str) -> float:
        found = files.read_result(REFERENCE / name).metric(metric).value
        assert found is not None
        return found

    assert value("sat-patchcore", "auroc") >= 0.9
    assert value("sat-reference_difference", "f2") < value("sat-constant", "f2") < value("sat-resnet_mlp", "f2")
    assert value("sat-reference_difference", "image_auroc") < 0.75 < value("sat-patchcore", "image_auroc")
    assert value("sat_hard-resnet_mlp", "f2") < value("sat-resnet_mlp", "f2")
    assert value("pets-resnet_mlp", "image_auroc") >= 0.99
    assert value("pets-resnet_mlp", "f2") >= 0.95
    mtd = files.read_result(REFERENCE / "mtd-resnet_mlp").metric("f2")
    assert mtd.low is not None and mtd.low > value("mtd-constant", "f2")
    for metric in ("image_auroc", "f2"):
        pets, tiles, sat = (value(f"{name}-resnet_mlp", metric) for name in ("pets", "mtd", "sat"))
        assert pets > tiles > sat, metric
