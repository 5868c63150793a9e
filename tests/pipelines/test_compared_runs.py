"""The compared methods as whole runs, with tiny models of the real classes and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config.needs import weights_of
from benchmark.core.errors import ConfigError, WeightsError
from tests.harness import SMALL_SAT, run
from tests.tiny_models import one_thread, tiny  # noqa: F401

NAMES = ("winclip", "sdp", "clipseg", "utad", "patchcore")


def values(finished: Any) -> dict[tuple[str, str], float | None]:
    return {(m.metric, m.category): m.value for m in finished.result.metrics}


@pytest.mark.parametrize("name", NAMES)
def test_a_second_run_computes_nothing_and_finds_the_same(name: str, tmp_path: Path) -> None:
    chosen = (*SMALL_SAT, "run.limit=4", f"pipeline={name}", *tiny(name))
    first, second = run(tmp_path, *chosen), run(tmp_path, *chosen)
    assert first.result.outcomes["ok"] == 4 and first.result.meaningless
    assert sum(first.result.measured.samples_computed.values()) > 0
    assert sum(second.result.measured.samples_computed.values()) == 0
    assert first.result.digest == second.result.digest
    assert values(first)["ap", "mean"] is not None


@pytest.mark.realdata
@pytest.mark.parametrize("dataset", [pytest.param("mtd", marks=pytest.mark.slow), "ksdd1_items"])
@pytest.mark.parametrize("name", ["winclip", "sdp", "clipseg", "utad"])
def test_real_images(name: str, dataset: str, real_data: Path, tmp_path: Path) -> None:
    finished = run(
        tmp_path,
        f"run.data_root={real_data}",
        f"dataset={dataset}",
        "dataset.allow_partial=true",
        "run.limit=3",
        f"pipeline={name}",
        *tiny(name),
    )
    assert finished.result.outcomes["ok"] == 3


def test_cheap_settings_compute_nothing(tmp_path: Path) -> None:
    chosen = (*SMALL_SAT, "run.limit=3", "pipeline=winclip", *tiny("winclip"))
    first = run(tmp_path, *chosen)
    second = run(tmp_path, *chosen, "pipeline.temperature=0.01", "pipeline.harmonic_of=normal")
    assert sum(second.result.measured.samples_computed.values()) == 0
    assert values(first)["ap", "mean"] != values(second)["ap", "mean"]


def test_a_few_normal_images_are_no_zero_shot(tmp_path: Path) -> None:
    chosen = (*SMALL_SAT, "run.limit=2", "pipeline=winclip", *tiny("winclip"))
    assert [w.target_data for w in run(tmp_path, *chosen).result.weights] == [()]
    few = run(tmp_path, *chosen, "pipeline.shots=2").result.weights
    assert few[-1].target_data == ("sat",)


def test_what_is_needed_is_named(tmp_path: Path) -> None:
    assert weights_of("winclip") == weights_of("sdp") == ("clip_vit_b_16_plus_240_e31",)
    assert weights_of("winclip_caoyunkang") == ("clip_vit_b_16_plus_240_e32",)
    assert weights_of("utad") == ("wide_resnet50_2_imagenet",)
    assert weights_of("patchcore") == weights_of("resnet_mlp") == ("efficientnet_lite0_imagenet",)
    with pytest.raises(WeightsError, match="make weights PIPELINE=wide_resnet50_2_imagenet"):
        run(tmp_path, *SMALL_SAT, "pipeline=utad", f"run.weights_root={tmp_path}")
    with pytest.raises(ConfigError, match=r"give pipeline\.weights=FILE"):
        run(tmp_path, *SMALL_SAT, "pipeline=clipseg")
    with pytest.raises(ConfigError, match="allow_random_weights"):
        run(tmp_path, *SMALL_SAT, "pipeline=sdp", "pipeline.clip.weights=random")
    with pytest.raises(ConfigError, match=r"must hold \{\} once"):
        run(tmp_path, *SMALL_SAT, "pipeline=winclip", "pipeline.states.templates=[a photo]")
