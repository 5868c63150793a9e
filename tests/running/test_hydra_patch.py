"""A sweep composes each combination of options once, before its first point, and sets values alone in the points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.running.hydra_patch import choices
from tests.harness import ROOT, SMALL_SAT, places

COUNTING = """
import sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl
load, count = ConfigLoaderImpl.load_sweep_config, [0]
def counted(*arguments, **named):
    count[0] += 1
    return load(*arguments, **named)
ConfigLoaderImpl.load_sweep_config = counted
sys.argv = ["benchmark", *{words!r}]
from benchmark.cli.run import run
code = run(sys.argv[1:])
print("CODE", code, "COMPOSED", count[0])
"""


def test_values_of_plain_keys_do_not_count() -> None:
    assert choices(["pipeline=a", "pipeline.k=3", "+x.y=2"]) == ("pipeline=a", "pipeline.k", "+x.y")


def test_each_choice_of_options_is_composed_once_before_the_first_point(tmp_path: Path) -> None:
    words = ("-m", *places(tmp_path), *SMALL_SAT, "pipeline=constant", "metric=default,full", "run.seed=0,1,2")
    program = [sys.executable, "-c", COUNTING.format(words=words)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.splitlines()[-1] == "CODE 0 COMPOSED 2"


POINTS = [
    ["pipeline=constant", "run.seed=1", "dataset.size=64"],
    ["pipeline=constant", "run.seed=2", "dataset.size=128"],
    ["pipeline=saa_plus", "run.seed=2", "dataset.size=128"],
    ["pipeline=saa_plus", "run.seed=0", "dataset.size=null"],
    ["pipeline=iap_as", "pipeline.steps=[tagging]", "pipeline.object={number: 2}"],
    ["pipeline=iap_as", "pipeline.steps=[]", "pipeline.object={number: 3}"],
    ["pipeline=iap_as", "pipeline.steps=[llm_prompt,size_filter]", "run.results_root='a b,c'"],
    ["pipeline=iap_as", "pipeline.steps=[tagging,llm_prompt]", "run.results_root=${run.data_root}/x"],
    ["pipeline=constant", "+pipeline.new=1", "run.seed=1"],
    ["pipeline=constant", "+pipeline.new=2", "run.seed=2"],
    ["pipeline=constant", "~run.seed", "run.limit=1"],
    ["pipeline=constant", "~run.seed", "run.limit=2"],
]


@pytest.mark.slow
def test_points_are_what_they_are_when_each_is_composed_as_a_whole() -> None:
    from hydra import initialize_config_dir
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from benchmark.config.strict_files import read_options_strictly
    from benchmark.core.resources import CONF
    from benchmark.running.hydra_patch import _values_alone

    read_options_strictly()
    whole = getattr(ConfigLoaderImpl.load_sweep_config, "whole", ConfigLoaderImpl.load_sweep_config)
    asked: list[list[str]] = []
    load = _values_alone(lambda *given: asked.append(given[2]) or whole(*given))  # type: ignore[func-returns-value]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader  # type: ignore[union-attr]
        master = loader.load_configuration("config", ["hydra.job.chdir=false"], run_mode=RunMode.MULTIRUN)
        for point in POINTS:
            alone, quick = whole(loader, master, list(point)), load(loader, master, list(point))
            assert OmegaConf.to_container(quick) == OmegaConf.to_container(alone), point
            assert quick._metadata.flags == alone._metadata.flags
    GlobalHydra.instance().clear()
    assert len(asked) == 9  # the second, the fourth and the eighth point are not composed
