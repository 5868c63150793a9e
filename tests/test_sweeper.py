"""A sweep composes each point once, and one of every combination of options before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmark.sweeper import choices
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


def test_points_are_composed_once_and_one_of_each_choice_before_the_first(tmp_path: Path) -> None:
    words = ("-m", *places(tmp_path), *SMALL_SAT, "pipeline=constant", "metric=mission,full", "run.seed=0,1,2")
    program = [sys.executable, "-c", COUNTING.format(words=words)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.splitlines()[-1] == "CODE 0 COMPOSED 8"
