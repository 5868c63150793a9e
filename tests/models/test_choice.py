from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Manifest
from benchmark.models.choice import Networks, WeightsRequest, choose
from benchmark.stages.context import Context
from benchmark.stages.store import Store


@pytest.fixture
def context(tmp_path: Path) -> Context:
    manifest = Manifest(dataset="none", samples=())
    return Context(manifest=manifest, samples=(), store=Store(tmp_path / "store"), weights_root=tmp_path / "weights")


def wanted(weights: str, published: str | None = "sam_vit_h") -> dict[str, WeightsRequest]:
    return {"sam": WeightsRequest(weights=weights, published=published, network="SAM vit_h")}


def test_random_weights_need_permission(context: Context) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.allow_random_weights=true"):
        choose(context, Networks(wanted=wanted("random")), pipeline="sam_clip")


def test_random_weights_are_noted_as_such(context: Context) -> None:
    chosen = choose(context, Networks(wanted=wanted("random"), allow_random=True), pipeline="sam_clip")
    assert chosen["sam"].path is None and "seed 0" in chosen["sam"].sha256
    (used,) = context.weights.values()
    assert used.random and used.name == "SAM vit_h with random weights"


def test_permission_alone_changes_nothing(context: Context) -> None:
    with pytest.raises(WeightsError, match="make weights PIPELINE=sam_vit_h"):
        choose(context, Networks(wanted=wanted("published"), allow_random=True), pipeline="sam_clip")


def test_all_missing_files_are_listed_at_once(context: Context) -> None:
    both = wanted("published") | {"clip": WeightsRequest(weights="clip_vit_b_16", published=None, network="CLIP")}
    with pytest.raises(WeightsError, match=r"(?s)sam_vit_h_4b8939\.pth.*ViT-B-16\.pt|ViT-B-16\.pt.*sam_vit_h"):
        choose(context, Networks(wanted=both), pipeline="sam_clip")


def test_a_toy_has_no_published_weights(context: Context) -> None:
    with pytest.raises(ConfigError, match="no published weights"):
        choose(context, Networks(wanted=wanted("published", None), allow_random=True), pipeline="sam_clip")


def test_a_path_is_taken_and_hashed(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    chosen = choose(context, Networks(wanted=wanted(str(path))), pipeline="sam_clip")
    assert chosen["sam"].path == path and len(chosen["sam"].sha256) == 64
    (used,) = context.weights.values()
    assert used.name == "mine.pth" and not used.random and used.trained_on is None


def test_a_misspelt_name_is_refused(context: Context) -> None:
    with pytest.raises(WeightsError, match="sam_vit_hh"):
        choose(context, Networks(wanted=wanted("sam_vit_hh")), pipeline="sam_clip")


def test_needed_names_are_those_of_the_registry() -> None:
    assert Networks(wanted=wanted("published")).registered() == ("sam_vit_h",)
    assert Networks(wanted=wanted("sam_vit_b")).registered() == ("sam_vit_b",)
    assert Networks(wanted=wanted("random")).registered() == Networks(wanted=wanted("some/file.pth")).registered() == ()
