"""What is added is found and checked by the suites without touching a test: a pipeline, a metric, a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.newcomers import suite

METRICS = '''
"""Two metrics, of which one does not say what it is."""

import os
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from benchmark.scoring.metrics import pixel, registry

half = replace(
    registry.METRICS["f2_max"],
    name="f05_max",
    function=partial(pixel.f_beta_max, beta=0.5),
    description="best pixel F0.5 over every threshold",
    beta=0.5,
)
mute = replace(registry.METRICS["f2"], name="mute", description="")
registry.METRICS = MappingProxyType({**registry.METRICS, half.name: half})
if os.environ["NEWCOMERS"].endswith("mute"):
    registry.METRICS = MappingProxyType({**registry.METRICS, mute.name: mute})
'''
CARD = """
name: washers
title: Washers
summary: A data set in MVTec layout.
citation: none
licence: {name: CC0, commercial: "yes", redistribution: "yes"}
source: {kind: manual, steps: [photograph some washers]}
layout: <category>/{train,test}/<type>
categories: {flat: object, spring: object}
counts:
  - {category: flat, split: train, good: 3, defective: 0}
  - {category: flat, split: test, good: 2, defective: 4}
  - {category: spring, split: train, good: 3, defective: 0}
  - {category: spring, split: test, good: 2, defective: 4}
traps: []
"""
PIPELINES = '''
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.samples import Prediction
from benchmark.core.settings import FilePath
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage


class Dim(Pipeline):
    """Without weights and stages."""

    def plan(self, context: Context) -> Plan:
        return Plan(predict=lambda one: Prediction(image_score=float(one.pixels.mean())), needs_image=True)


class Bright(Pipeline):
    """With a stage, and a setting that names a file."""

    cut: float
    notes: FilePath | None

    def plan(self, context: Context) -> Plan:
        stage = Stage(
            name="brightness",
            version=1,
            settings={},
            compute=lambda inputs: [{"map": one.pixels.mean(axis=2, dtype="float32")} for one in inputs],
        )
        return Plan(stages=dict.fromkeys(context.categories, (stage,)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        found = one.artifact["map"]
        return Prediction(score_map=found, image_score=float(found.max()), mask=found > self.cut)


class Wrong(Bright):
    """Breaks the contract: a map of another size, and a method that nothing calls."""

    def needs_weights(self) -> tuple[str, ...]:
        return ()

    def _predict(self, one: ImageResults) -> Prediction:
        return Prediction(score_map=one.artifact["map"][:-1])
'''


@pytest.mark.slow
def test_new_pipelines_are_found_and_checked(tmp_path: Path) -> None:
    keys = "cut: 100.0\nnotes: null\n"
    files = {
        "new_pipelines.py": PIPELINES,
        "conf/pipeline/dim.yaml": "# Dim images\n_target_: new_pipelines.Dim\n",
        "conf/pipeline/bright.yaml": f"# Bright images\n_target_: new_pipelines.Bright\n{keys}",
        "conf/pipeline/wrong.yaml": f"# Breaks the contract\n_target_: new_pipelines.Wrong\n{keys}",
    }
    words = ("tests/pipelines/test_pipeline_contract.py", "-k", "dim or bright or wrong or methods_of_the_base")
    found = suite(tmp_path, *words, files=files)
    for_every_pipeline = (
        "test_predictions_keep_the_contract",
        "test_the_same_settings_plan_the_same_stages_for_every_category",
        "test_files_named_like_other_settings_change_nothing",
    )
    passed = {f"{test}[{name}]" for test in for_every_pipeline for name in ("dim", "bright")}
    passed.add("test_an_edited_file_that_a_setting_names_makes_another_run[bright]")
    assert {test for test, outcome in found.items() if outcome == "PASSED"} >= passed
    failed = {test for test, outcome in found.items() if outcome == "FAILED"}
    assert failed == {"test_predictions_keep_the_contract[wrong]", "test_hooks_are_methods_of_the_base"}


@pytest.mark.slow
def test_a_new_metric_is_found_and_checked(tmp_path: Path) -> None:
    words = (
        "tests/scoring/metrics/test_registry.py",
        "tests/scoring/metrics/test_direct.py",
        "tests/scoring/metrics/test_invariance.py",
    )
    some = ("-k", "registry or direct or duplicated or transposed or full")
    found = suite(tmp_path / "good", *words, *some, files={"new_metrics.py": METRICS})
    assert len(found) > 10 and set(found.values()) == {"PASSED"}
    found = suite(tmp_path / "mute", words[0], files={"new_metrics.py": METRICS})
    assert [test for test, outcome in found.items() if outcome != "PASSED"] == [
        "test_every_metric_says_what_it_is_and_where_its_function_comes_from"
    ]


def test_a_new_dataset_in_mvtec_layout_is_found_and_checked(tmp_path: Path) -> None:
    option = "# Washers\ndefaults: [mvtec, _self_]\nname: washers\ninner: null\n"
    files = {"datasets/washers/card.yaml": CARD, "conf/dataset/washers.yaml": option}
    found = suite(tmp_path, "tests/data/test_contract.py", "-k", "washers or card_and_an_option", files=files)
    assert {test for test, outcome in found.items() if outcome == "PASSED"} == {
        "test_every_dataset_has_a_card_and_an_option",
        "test_counts_are_the_cards[washers]",
        "test_samples_keep_the_contract[washers]",
        "test_a_missing_image_is_told_and_goes_on_only_when_allowed[washers]",
        "test_an_option_without_numbers_above_scores_what_its_card_says[washers]",
    }
    assert set(found.values()) == {"PASSED"}
