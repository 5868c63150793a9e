"""One contract for every pipeline option: what it yields, in which order, and what it says when it cannot start.

Every option of the group is found by itself: those whose networks can be tiny ones with random weights, or that have
none, are run; the others say what they lack.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from benchmark import weights
from benchmark.config.options import options
from benchmark.config.pipeline import Pipeline, predictions
from benchmark.config.schema import RunConfig, build
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.resources import CONF
from benchmark.core.samples import Manifest, Prediction, Sample
from benchmark.core.settings import file_settings
from benchmark.core.yaml_files import read_yaml
from benchmark.data.images import image_shape
from benchmark.results.schema import flatten
from benchmark.running.names import identify
from benchmark.running.recording import identity
from benchmark.running.run import limited, make_context
from benchmark.stages.context import Context
from tests.harness import SMALL_SAT, compose, plan_of, streamed
from tests.tiny_models import one_thread, tiny  # noqa: F401

OPTIONS = sorted(options("pipeline"))


def varies_another(name: str) -> bool:
    """Whether an option inherits from another one, as a preset of a paper does."""
    defaults = read_yaml(CONF / "pipeline" / f"{name}.yaml").get("defaults", [])
    return any(isinstance(entry, str) and entry != "_self_" for entry in defaults)


PREDICTING = [pytest.param(name, marks=pytest.mark.slow) if varies_another(name) else name for name in OPTIONS]
"""Options that vary another one are run whole by ``test_fingerprints``."""
NO_SAMPLES = Manifest(dataset="sat", samples=())


@cache
def composed(name: str, words: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose once, as that takes longer than most of these tests."""
    return compose("tracking=none", *SMALL_SAT, f"pipeline={name}", *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all options: the images are drawn once, and a stage that several options share is computed once."""
    return tmp_path_factory.mktemp("contract")


def configured(folder: Path, name: str, words: tuple[str, ...] = ()) -> RunConfig:
    values, choices = composed(name, words)
    roots = {f"{place}_root": str(folder / place) for place in ("data", "results", "cache", "weights")}
    return build({**values, "run": {**values["run"], **roots}}, choices)


def context_of(config: RunConfig) -> Context:
    """Two samples, one good and one defective; all twelve where a prediction rests on the other images."""
    manifest = config.dataset.manifest(config.run.data_root)
    two = make_context(config, manifest, limited(manifest, 2))
    whole_set = plan_of(config.pipeline, two).predict_all is not None
    return make_context(config, manifest, limited(manifest, None)) if whole_set else two


def runnable(folder: Path, name: str) -> RunConfig:
    """Return the option as it runs here, or skip with what it lacks."""
    config = configured(folder, name, tiny(name))
    lacking = needed(config.pipeline)
    if lacking:
        pytest.skip(f"{lacking[0]}, and that cannot be random")
    if hasattr(config.pipeline, "provider"):
        pytest.skip("asks a server: tests/pipelines/vlm runs it with one")
    return config


def needed(pipeline: Pipeline) -> list[str]:
    """Return what a pipeline lacks on a machine that has this project's packages alone."""
    wanted = [name for name in pipeline.networks().registered() if not embedded(name)]
    return [*(pipeline.missing() or ()), *(f"needs the weights {name}" for name in wanted)]


def embedded(name: str) -> bool:
    """Whether a package carries the weights."""
    return name in weights.names() and all(file.package for file in weights.find(name).files)


def run_id(name: str, changes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Name the run of an option with other values of some of its settings, by dotted key."""
    values, choices = deepcopy(composed(name))
    for key, value in changes.items():
        *parents, last = key.split(".")
        reduce(lambda place, part: place[part], parents, values["pipeline"])[last] = value
    config = build(values, choices)
    return identify(config, identity(config, values, NO_SAMPLES.dataset), NO_SAMPLES)


@pytest.mark.parametrize("name", PREDICTING)
def test_predictions_keep_the_contract(name: str, folder: Path) -> None:
    config = runnable(folder, name)
    context = context_of(config)
    seen: list[Sample] = []
    for sample, prediction in streamed(config.pipeline, context, option=name):
        seen.append(sample)
        check(sample, prediction)
    assert seen == list(context.samples), "one prediction for every sample, in order"


def check(sample: Sample, prediction: Prediction) -> None:
    shape = image_shape(sample.image)
    assert prediction.outcome == "ok"
    assert prediction.score_map is None or prediction.regions is None
    if prediction.score_map is not None:
        assert prediction.score_map.shape == shape and prediction.score_map.dtype in (np.float32, np.float64)
        assert np.isfinite(prediction.score_map).all()
    if prediction.regions is not None:
        assert prediction.regions.masks.shape == shape
        assert np.isfinite(prediction.regions.scores).all() and (prediction.regions.scores >= 0).all()
    if prediction.mask is not None:
        assert prediction.mask.shape == shape and prediction.mask.dtype == bool
    assert prediction.image_score is None or np.isfinite(prediction.image_score)
    said = (prediction.score_map, prediction.regions, prediction.mask, prediction.image_score, prediction.label)
    assert any(part is not None for part in said)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_settings_plan_the_same_stages_for_every_category(name: str, folder: Path) -> None:
    config = runnable(folder, name)
    plans = [plan_of(config.pipeline, context_of(config), option=name) for _ in range(2)]
    first, second = ([stage.fingerprint for stage in plan.distinct] for plan in plans)
    assert first == second
    assert set(plans[0].stages) in (set(), set(context_of(config).categories))
    for stages in plans[0].stages.values():
        assert len({stage.name for stage in stages}) == len(stages) > 0, "artifacts are found by their stage's name"


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_missing_is_said_before_any_work(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    config = configured(folder, name)
    if not needed(config.pipeline):
        pytest.skip("needs nothing")
    with pytest.raises(BenchmarkError) as caught:
        plan = plan_of(config.pipeline, context_of(config), option=name)
        list(predictions(plan, context_of(config)))
    assert len(str(caught.value)) > 30, "the message must say what is missing and what to do"


@pytest.mark.parametrize("name", OPTIONS)
def test_settings_that_change_no_prediction_are_there(name: str) -> None:
    settings = composed(name)[0]["pipeline"]
    for key in configured(Path(), name).pipeline.not_in_result():
        place = settings
        for part in key.split("."):
            assert part in place, f"{key} is no setting of {name}"
            place = place[part]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_edited_file_that_a_setting_names_makes_another_run(name: str, tmp_path: Path) -> None:
    config = configured(tmp_path, name)
    keys = [key for key, _ in file_settings(config.pipeline) if not key.startswith(config.pipeline.not_in_result())]
    if not keys:
        pytest.skip("no setting names a file")
    for key in keys:
        file = tmp_path / "file named by a setting"
        ids = set()
        for content in ("one", "two", "three"):
            file.write_text(content)
            ids.add(run_id(name, {key: str(file)}))
        assert len(ids) == 3, key


@pytest.mark.parametrize("name", OPTIONS)
def test_files_named_like_other_settings_change_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_id(name)
    monkeypatch.chdir(tmp_path)
    settings = [v for v in flatten(composed(name)[0]["pipeline"]).values() if isinstance(v, str)]
    for number, text in enumerate(["median", *settings]):
        if "/" not in text and len(text.encode()) < 200:
            Path(text).write_text(f"a stray file {number}")
    assert run_id(name) == before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "class New(Settings): pass",
            r"newcomer\.New must derive from benchmark\.config\.pipeline\.Pipeline.*method plan",
        ),
        ("class New(Pipeline): pass", r"newcomer\.New lacks the method plan"),
    ],
)
def test_a_class_that_lacks_something_is_refused_when_the_config_is_read(
    body: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = "from benchmark.config.pipeline import Pipeline\nfrom benchmark.core.settings import Settings\n"
    (tmp_path / "newcomer.py").write_text(head + body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "newcomer", raising=False)
    values, choices = composed("constant")
    with pytest.raises(ConfigError, match=told):
        build({**values, "pipeline": {"_target_": "newcomer.New"}}, choices)


def test_hooks_are_methods_of_the_base() -> None:
    """No pipeline has a public method that the harness would never call: a typo in one is an error here."""
    known = {name for name in dir(Pipeline) if not name.startswith("_")}
    helpers = {"difference", "image_score"}  # of reference_difference, which its tests call
    for name in OPTIONS:
        cls = type(configured(Path(), name).pipeline)
        own = {n for n, v in vars(cls).items() if callable(v) and not n.startswith("_")} - set(cls.model_fields)
        assert own <= known | helpers, f"{cls.__name__} has {own - known - helpers}, which nothing calls"


def test_the_options_are_those_of_the_folder() -> None:
    assert {path.stem for path in (CONF / "pipeline").glob("*.yaml")} == set(OPTIONS)
