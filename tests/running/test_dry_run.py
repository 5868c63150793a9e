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
    assert "weights sam_vit_h: to be fetched, 2,5" in lines


def test_what_is_stored_already_is_counted(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "pipeline=patchcore", "networks=toy", "run.limit=4")
    assert any("stage patchcore_distances: 0 of 4" in line for line in told(tmp_path, *words))
    run(tmp_path, *words)
    lines = told(tmp_path, *words)
    assert any("stage patchcore_distances: 4 of 4" in line for line in lines)
    assert any("random weights: the results mean nothing" in line for line in lines)
    assert any("never measured for these settings" in line for line in lines)


def test_the_time_is_that_of_the_reference_result_on_the_same_data(tmp_path: Path) -> None:
    (line,) = (
        line for line in told(tmp_path, *SMALL_SAT, "pipeline=reference_difference") if line.startswith("  about")
    )
    assert "sat-reference_difference took 0." in line


@pytest.mark.parametrize("word", ["dry_run", "--dry-run"])
def test_the_command_line_writes_no_result(tmp_path: Path, word: str) -> None:
    done = command(*SMALL_SAT, "pipeline=constant", word, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dry run\nsat × constant, protocol default\n  12 images (6 good, 6 defective)")
    assert not (tmp_path / "results" / "runs").exists()


def test_a_wrong_setting_is_an_error_here_too(tmp_path: Path) -> None:
    done = command(*SMALL_SAT, "pipeline=constant", "pipeline.polcy=3", "dry_run", folder=tmp_path)
    assert done.returncode == 1 and "did you mean 'policy'" in done.stderr
