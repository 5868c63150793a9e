"""A text-image network that is named on the command line alone, in the pipelines whose method asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from benchmark.core.errors import ConfigError
from benchmark.models.clip_build import load_clip
from tests.harness import SMALL_SAT, compose, run
from tests.models.clip_models import write_clip, write_open_clips
from tests.tiny_models import SAM, one_thread, tiny  # noqa: F401

WINDOWS = ("pipeline.windows=[2,3]", "pipeline.to_rgb=first")
GRID = (*SAM, *(word for word in tiny("sam_clip") if ".grid." in word))
IAP = (*(word for word in tiny("iap_as") if ".clip." not in word), "prompter@pipeline.prompter=static")
TEXTS = {
    "winclip": (
        "pipeline.states.templates=['a {}.']",
        "pipeline.states.normal=['{}']",
        "pipeline.states.abnormal=['bad {}']",
    ),
    "sam_clip": (),
    "iap_as": ("pipeline.tagger.templates=['a {}.']", "pipeline.tagger.number=2"),
}
"""The tiny networks read 16 letters."""
CASES = [
    ("winclip", "clip", "pipeline", "winclip_vectors", WINDOWS),
    ("sam_clip", "siglip", "pipeline", "clip_cutouts", (*GRID, "pipeline.score=sigmoid")),
    pytest.param(
        "winclip", "metaclip_2", "pipeline", "winclip_vectors", (*WINDOWS, "pipeline.shots=2"), marks=pytest.mark.slow
    ),
    pytest.param("sam_clip", "altclip", "pipeline", "clip_cutouts", GRID, marks=pytest.mark.slow),
    pytest.param("iap_as", "siglip2", "pipeline.tagger", "clip_image", IAP, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("pipeline", "kind", "place", "stage", "words"), CASES)
def test_networks_named_on_the_command_line(
    pipeline: str, kind: str, place: str, stage: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    write_clip(tmp_path / kind, kind)
    (tmp_path / "words.txt").write_text("screw\nnut\ncarpet\n")
    short = (
        TEXTS[pipeline] if pipeline != "iap_as" else (f"{place}.vocabulary={tmp_path / 'words.txt'}", *TEXTS["iap_as"])
    )
    named = (*words, *short, f"clip@{place}.clip=hf", f"{place}.clip.model={tmp_path / kind}")
    asked = (*SMALL_SAT, "run.limit=2", f"pipeline={pipeline}", *named)
    first = run(tmp_path, *asked).result
    assert first.measured.samples_computed[stage] >= 2
    assert f"{kind}/model.safetensors" in {weights.name for weights in first.weights}
    again = run(tmp_path, *asked, f"run.results_root={tmp_path / 'second'}").result
    assert not any(again.measured.samples_computed.values()) and again.digest == first.digest


def test_the_same_network_by_the_group_gives_the_same_maps(tmp_path: Path) -> None:
    """WinCLIP on open_clip's network by name is the present one to the last digit."""
    write_open_clips(tmp_path / "models")
    weights = tmp_path / "clip.safetensors"
    save_file(load_clip("toy_plus", weights=None, device="cpu").state_dict(), weights)
    asked = (*SMALL_SAT, "run.limit=1", "pipeline=winclip", f"pipeline.clip.weights={weights}", "run.export=[maps]")
    present = run(tmp_path, *asked, "pipeline.clip.model=toy_plus", "pipeline.clip.input_size=96").result
    named = run(tmp_path, *asked, "clip@pipeline.clip=open_clip", "pipeline.clip.model=toy-plus").result
    assert named.rows_sha256 == present.rows_sha256 and named.metrics == present.metrics
    assert named.stages != present.stages and "clip@pipeline.clip" not in present.choices


@pytest.mark.parametrize(
    ("pipeline", "kind", "words", "said"),
    [
        ("winclip", "siglip", (), r"pipeline\.clip: WinCLIP lets windows .*siglip, a siglip, has no class token"),
        ("sam_clip", "clip", (*GRID, "pipeline.score=sigmoid"), r"pipeline\.score=sigmoid: .* take score=probability"),
    ],
)
def test_what_a_network_lacks_is_refused_when_the_config_is_read(
    pipeline: str, kind: str, words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    write_clip(tmp_path / kind, kind)
    with pytest.raises(ConfigError, match=said) as caught:
        run(
            tmp_path,
            *SMALL_SAT,
            f"pipeline={pipeline}",
            *words,
            "clip@pipeline.clip=hf",
            f"pipeline.clip.model={tmp_path / kind}",
        )
    assert "\n" not in str(caught.value)


def test_a_network_by_name_has_no_tiny_stand_in() -> None:
    with pytest.raises(ConfigError, match=r"the model of pipeline\.clip has no tiny stand-in; give it another option"):
        compose("pipeline=winclip", "clip@pipeline.clip=metaclip2_huge", "networks=toy")


def test_settings_of_before_have_no_target_and_no_choice() -> None:
    for pipeline in ("winclip", "winclip_caoyunkang", "sam_clip_text2seg"):
        composed, choices = compose(f"pipeline={pipeline}")
        assert "_target_" not in composed["pipeline"]["clip"] and "clip@pipeline.clip" not in choices
