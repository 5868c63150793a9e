"""What is added is found and checked by the suites without touching a test: a pipeline, a metric, a dataset."""

from __future__ import annotations

from pathlib import Path

from tests.newcomers import suite

PIPELINES = '''
from benchmark.pipeline import ImageResults, Pipeline, Plan
from benchmark.samples import Prediction
from benchmark.settings import FilePath
from benchmark.stages import Context, Stage


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


def test_new_pipelines_are_found_and_checked(tmp_path: Path) -> None:
    keys = "cut: 100.0\nnotes: null\n"
    options = {
        "pipeline/dim.yaml": "# Dim images\n_target_: new_pipelines.Dim\n",
        "pipeline/bright.yaml": f"# Bright images\n_target_: new_pipelines.Bright\n{keys}",
        "pipeline/wrong.yaml": f"# Breaks the contract\n_target_: new_pipelines.Wrong\n{keys}",
    }
    words = ("tests/pipelines/test_pipeline_contract.py", "-k", "dim or bright or wrong or methods_of_the_base")
    found = suite(tmp_path, *words, options=options, modules={"new_pipelines": PIPELINES})
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
