"""``networks=toy``: one word, and a pipeline runs without weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.compose import written_out
from benchmark.config.options import options
from benchmark.core.errors import ConfigError
from tests.harness import SMALL_SAT, compose, places, run, typed
from tests.tiny_models import one_thread  # noqa: F401

SERVICES = {"gemini", "gemini_2_5_pro", "vlm_endpoint", "vlm_local", "evf_sam", "anomalib"}
SERVICES |= {"multiple_choice", "multiple_choice_endpoint", "multiple_choice_local"}
"""Pipelines whose models run elsewhere."""
WITH_RAM = {"iap_as_paper_code", "iap_as_paper_text"}


@pytest.mark.parametrize("pipeline", sorted({*options("pipeline")} - SERVICES - WITH_RAM))
def test_every_pipeline_with_networks_of_its_own_needs_no_weights(pipeline: str) -> None:
    config = typed(f"pipeline={pipeline}", "networks=toy")
    wanted = config.pipeline.networks().wanted
    assert all(request.published is None or request.weights == "random" for request in wanted.values())
    assert not config.pipeline.networks().registered()


@pytest.mark.parametrize("pipeline", sorted(SERVICES | WITH_RAM))
def test_a_model_that_runs_elsewhere_is_not_replaced_in_silence(pipeline: str) -> None:
    with pytest.raises(ConfigError, match=r"networks=toy: the model of pipeline.* has no tiny stand-in"):
        compose(f"pipeline={pipeline}", "networks=toy")


def test_a_tagger_that_can_be_tiny_takes_the_place_of_one_that_cannot() -> None:
    other = ("tagger@pipeline.tagger=clip_vocab", "prompter@pipeline.prompter=static")
    assert not typed("pipeline=iap_as_paper_code", *other, "networks=toy").pipeline.networks().registered()


def test_what_is_said_beside_it_holds() -> None:
    before = written_out(["pipeline=saa_plus", "pipeline.detector.short_side=64", "networks=toy"])
    assert before.index("pipeline.detector.short_side=96") < before.index("pipeline.detector.short_side=64")
    assert written_out(["pipeline=saa_plus"]) == ["pipeline=saa_plus"]
    assert written_out(["pipeline=constant", "networks=toy"]) == ["pipeline=constant"]


@pytest.mark.parametrize("words", [("networks=tiny",), ("networks=",), ("networks=toy", "pipeline=saa,saa_plus")])
def test_other_words_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="networks=toy"):
        written_out(words)


def test_a_run_says_that_its_networks_are_random(tmp_path: Path) -> None:
    result = run(tmp_path, *SMALL_SAT, "run.limit=2", "pipeline=sam_clip", "networks=toy").result
    assert result.meaningless and all(w.random for w in result.weights)
    assert result.config["pipeline"]["sam"]["model"] == "toy"


def test_the_command_line_knows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark"])
    assert main(["run", *places(tmp_path), *SMALL_SAT, "run.limit=2", "pipeline=winclip", "networks=toy"]) == 0
    assert "random weights: these numbers mean nothing" in capsys.readouterr().out


@pytest.mark.parametrize("pipeline", ["patchcore", "anomalyvlm", "clipseg"])
def test_random_networks_keep_their_size(pipeline):
    random = typed(f"pipeline={pipeline}", "networks=random").pipeline.networks()
    toys = typed(f"pipeline={pipeline}", "networks=toy").pipeline.networks()
    assert random.wanted and random.allow_random
    for role, one in random.wanted.items():
        if role != "tokenizer":  # its vocabulary has no weights
            assert one.weights == "random" and one.network != toys.wanted[role].network
