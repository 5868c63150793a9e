"""The quick way of composing gives what Hydra's own gives, errors included, and sees every edit of a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import compose as composing
from benchmark.config import loader
from benchmark.config.options import options
from benchmark.core.errors import ConfigError
from benchmark.core.resources import CONF

LINES: list[tuple[str, ...]] = [
    (),
    ("pipeline=iap_as", "tagger@pipeline.tagger=category_name", "run.limit=3"),
    ("experiment=iap_as_mpdd", "pipeline.thresholds.objects=0.3"),
    ("+sweep=area_topk", "pipeline=saa_plus"),
    ("~tracking", "dataset=mtd"),
    ("pipeline=constant.yaml",),
    ("pipeline=constant", "+pipeline.x=1"),
    ("run=null",),
    ("pipeline=constnt",),
    ("experiment=",),
    ("pipeline=../../etc/x", "dataset=mtd"),
    ("pipeline.polcy=1",),
    ("pipeline.fo.x=1", "pipeline=resnet_mlp"),
    ("~foo",),
    ("dataset=sat,mtd",),
    ("+dataset=mtd",),
    ("pipeline@x=constant",),
    ("dataset.path=${x}",),
    ("pipeline=constant", "pipeline.policy=prevalence"),
    ("pipeline=constant", "pipeline.policy=always_good", "pipeline.policy=prevalence", "~tracking.experiment"),
    ("pipeline=constant", "pipeline.policy.x=1"),
    ("pipeline=constant", "~pipeline.policy"),
    ("pipeline=constant", "protocol.image.positive.x=1", "run.limit=[1,{a: 2}]"),
]
EVERY = [(f"{group}={name}",) for group in ("pipeline", "dataset", "experiment", "protocol") for name in options(group)]


def composed(words: tuple[str, ...]) -> Any:
    try:
        return composing.compose(words)
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("lines", [LINES, pytest.param(EVERY, marks=pytest.mark.slow)])
def test_it_gives_what_hydra_gives(lines: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [composed(words) for words in lines]
    assert [composed(words) for words in lines[:5]] == quick[:5], "what one line sets is not there in the next"
    monkeypatch.setattr(loader, "composes", lambda words: False)
    for words, found in zip(lines, quick, strict=True):
        assert found == composed(words), words


@pytest.mark.parametrize(
    ("word", "own"), [("hydra/launcher=joblib", True), ("+hydra.x=1", True), ("~hydra", True), ("run.seed=1", False)]
)
def test_what_is_hydras_is_left_to_it(word: str, own: bool) -> None:
    assert loader.composes(["dataset=sat", word]) is not own


def test_an_edited_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr(loader, "CONF", tmp_path / "conf")
    loader._loader.cache_clear()
    try:
        file = tmp_path / "conf" / "pipeline" / "constant.yaml"
        before = file.read_text()
        values = []
        for policy in ("always_good", "prevalence", "always_good"):
            file.write_text(before.replace("always_defective", policy))
            values.append(composing.compose(["pipeline=constant"])[0]["pipeline"]["policy"])
        assert values == ["always_good", "prevalence", "always_good"]
    finally:
        loader._loader.cache_clear()
