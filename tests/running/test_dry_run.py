"""A dry run tells what a run needs and would do, and does none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import SMALL_SAT, command, compose, places, run


def told(folder: Path, *words: str) -> list[str]:
    from benchmark.config.schema import build
    from benchmark.running.dry_run import outlook

    composed, choices = compose(*places(folder), *words)
    return list(outlook(build(composed, choices), composed))


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    lines = "\n".join(told(tmp_path, "dataset=mvtec", "pipeline=saa_plus", f"run.weights_root={tmp_path}"))
    assert "data missing: mvtec" in lines and "weights missing: " in lines
    assert "make data DATASET=mvtec && make weights" in lines
    assert "weights sam_vit_h: to be fetched, 2.6 GB" in lines


def test_what_is_stored_already_is_counted(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=patchcore", "networks=toy", "run.limit=4")
    assert any("stage patchcore_distances: 0 of 4" in line for line in told(tmp_path, *words))
    run(tmp_path, *words)
    lines = told(tmp_path, *words)
    assert any("stage patchcore_distances: 4 of 4" in line for line in lines)
    assert any("random weights: the results mean nothing" in line for line in lines)
    assert any(line.startswith("  time on this machine") and "not measured" in line for line in lines)


def test_the_time_is_that_of_the_reference_result_on_the_same_data(tmp_path: Path) -> None:
    (line,) = (
        line for line in told(tmp_path, *SMALL_SAT, "pipeline=reference_difference") if "s an image, sat" in line
    )
    assert "s an image, sat-reference_difference)" in line


@pytest.mark.parametrize("word", ["dry_run", "--dry-run"])
def test_the_command_line_writes_no_result(tmp_path: Path, word: str) -> None:
    done = command(*SMALL_SAT, "pipeline=constant", word, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dry run\nsat × constant, protocol default\n  12 images (6 good, 6 defective)")
    assert not (tmp_path / "results" / "runs").exists()


def test_a_wrong_setting_is_an_error_here_too(tmp_path: Path) -> None:
    done = command(*SMALL_SAT, "pipeline=constant", "pipeline.polcy=3", "dry_run", folder=tmp_path)
    assert done.returncode == 1 and "did you mean 'policy'" in done.stderr


PRICE = "price of answers"


def costs(folder: Path, *words: str) -> dict[str, tuple[str, str]]:
    from benchmark.config.schema import build
    from benchmark.running.forecast import costs

    composed, choices = compose(*places(folder), *words)
    return {what: (much, by) for what, much, by in costs(build(composed, choices), composed)}


def test_costs_of_a_data_set_that_is_not_here_are_those_of_its_card(tmp_path: Path) -> None:
    found = costs(tmp_path, "dataset=mvtec", "pipeline=saa_plus", f"run.weights_root={tmp_path}")
    assert found["images"][0] == "1,725" and found["cache"][0] == "not measured"
    much, by = found["time on a T4 with SAM ViT-H"]
    assert much == f"about {3.994 * 1725 / 60:.0f} min" and "published: SAA+ (official code), mvtec" in by
    assert any(what.startswith("time on this machine") and much == "not measured" for what, (much, _) in found.items())
    assert found["weights to download"][0].endswith(" GB") and float(found["weights to download"][0].split()[0]) > 2.5
    assert found["data to download"][1] == "make data DATASET=mvtec"
    assert costs(tmp_path, "dataset=mvtec", "pipeline=saa_plus", "run.limit=10")["images"][0] == "10"


def test_costs_of_the_default_are_measured_ones_and_of_toys_none(tmp_path: Path) -> None:
    found = costs(tmp_path, "dataset=sat", "pipeline=reference_difference")
    assert found["images"][0] == "263" and found["cache"][0].endswith(" kB") and found["data to download"][0] == "none"
    assert found["weights to download"][0] == "none" and found["time on a GPU"][0] == "not measured"
    other = costs(tmp_path, "dataset=sat", "pipeline=patchcore", "backbone@pipeline.backbone=wide_resnet50_2")
    assert other["cache"][0] == "not measured", "what was measured is of another network"
    toys = costs(tmp_path, *SMALL_SAT, "pipeline=patchcore", "networks=toy")
    assert not any(much.startswith("about") for much, _ in toys.values())


def test_the_price_of_answers_is_told_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    much, by = costs(tmp_path, "dataset=sat", "pipeline=gemini", "pipeline.provider.model=gemini-2.5-pro")[PRICE]
    assert much == "by tokens" and "1.25 USD for a million prompt tokens of gemini-2.5-pro, 10 of output" in by
    much, by = costs(tmp_path, "dataset=sat", "pipeline=gemini", "pipeline.provider.model=gemini-99")[PRICE]
    assert much == "not known" and "no list has gemini-99" in by
    lines = "\n".join(told(tmp_path, *SMALL_SAT, "pipeline=gemini", "pipeline.provider.model=gemini-3.5-flash-lite"))
    assert "36 calls of gemini-3.5-flash-lite would be made" in lines and " USD" in lines and PRICE not in lines
    assert "no key and no stored answers of gemini-3.5-flash-lite" in lines and "run: export GEMINI_API_KEY=" in lines


def test_the_doctor_tells_the_costs_of_what_is_named_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.cli.main import main
    from benchmark.running import doctor

    for part in ("machine", "packages", "places", "datasets", "weights", "tables"):
        monkeypatch.setattr(doctor, part, lambda *args, **words: iter(()))
    assert main(["doctor", *places(tmp_path), "dataset=mvtec", "pipeline=saa_plus"]) == 0
    said = capsys.readouterr().out
    assert "costs of mvtec × saa_plus where nothing is stored" in said and "tables of papers" not in said
    assert main(["doctor", *places(tmp_path)]) == 0
    assert "costs of" not in capsys.readouterr().out
