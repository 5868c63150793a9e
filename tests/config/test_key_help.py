"""``--help``: every key of the chosen options, with the comment that its YAML has."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.key_help import help_text
from benchmark.config.options import options
from benchmark.results.schema import flatten
from tests.harness import command, compose


@pytest.mark.parametrize("pipeline", ["saa_plus", "iap_as", "winclip_caoyunkang", "gemini", "constant"])
def test_every_key_is_there_and_keys_that_an_option_inherits_have_their_comments(pipeline: str) -> None:
    text = help_text([f"pipeline={pipeline}"])
    keys = [key for key in flatten(compose(f"pipeline={pipeline}")[0]) if not key.endswith("_target_")]
    shown = {line.split("=")[0].split("#")[0].strip(): line for line in text.splitlines() if line.startswith("  ")}
    assert set(keys) <= set(shown)
    commented = [key for key in keys if key.startswith("pipeline.") and "# " in shown[key]]
    assert len(commented) > 0.4 * sum(key.startswith("pipeline.") for key in keys)


def test_options_and_values_of_the_command_line_are_shown() -> None:
    text = help_text(["pipeline=patchcore", "pipeline.neighbours=3", "backbone@pipeline.backbone=dinov2_small"])
    assert "  pipeline.neighbours=3 " in text and "# b of the image score; 1: the largest distance" in text
    assert "pipeline.backbone.model=vit_small_patch14_dinov2" in text
    assert all(name in text for name in options("pipeline"))


def test_the_users_own_options_are_read(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    own = "defaults: [patchcore, _self_]\nneighbours: 5  # fewer than usual\n"
    (tmp_path / "pipeline" / "mine.yaml").write_text(own)
    text = help_text(["--config-dir", str(tmp_path), "pipeline=mine"])
    assert "pipeline.neighbours=5" in text and "# fewer than usual" in text and "mine" in text


def test_the_command_line_prints_it() -> None:
    done = command("run", "--help", "pipeline=saa_plus")
    assert done.returncode == 0, done.stderr
    assert "One run:" in done.stdout and "pipeline.detector.short_side=" in done.stdout
    done = command("run", "--help", "pipeline=sa_plus")
    assert done.returncode == 1 and "did you mean" in done.stderr
