"""Words that people try: each is answered with what to write instead."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import near_matches


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metric.names=f2"], "metric.names: is a list (got 'f2'); write metric.names=[f2]"),
        (["protocol.size=256"], "write protocol.size=[256]"),
        (["dataset.categories=bolt"], "unknown key 'dataset.categories'"),
        (["metric=auroc"], "for this one alone: metric.names=[auroc]"),
        (["metric=AP"], "metric.names=[ap]"),
        (["dataset=MVTec"], "did you mean 'mvtec' or"),
        (["pipeline=SAA+"], "did you mean 'saa_plus'?"),
        (["pipeline=patch-core"], "did you mean 'patchcore'"),
        (["dataset=sat", "--limit", "5"], "settings have no dashes: run.limit=…"),
        (["dataset=sat", "--top-k=5"], "settings have no dashes: pipeline.threshold=0.5 is one"),
        (["dataset=sat", "--seed=1"], "run.seed=…"),
        (["-m", "hydra/launcher=ray_local"], "hydra/launcher=ray_local is now run.engine=ray, which shares out"),
    ],
)
def test_what_to_write_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tracking=none", *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.skipif(find_spec("optuna") is not None, reason="the extra is installed")
def test_an_extra_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    choice = "hydra/sweeper=optuna_search"
    assert main(["run", "-m", "tracking=none", "run.seed=0,1", choice]) == 1
    assert f"{choice}: its package is not in this environment; make extras builds" in capsys.readouterr().err


def test_names_are_compared_as_people_write_them() -> None:
    assert near_matches("WinCLIP", ["winclip", "wincl"]) == "did you mean 'winclip' or 'wincl'?"
    assert near_matches("MTD", ["mtd", "pets"]) == "did you mean 'mtd'?"
    assert near_matches("zzz", ["mtd", "pets"]) == "known: mtd, pets"
