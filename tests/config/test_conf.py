"""Every option of every config group: says what it is, composes, and becomes typed settings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmark.config.moved import REPLACED
from benchmark.config.options import options
from benchmark.config.schema import GROUPS
from benchmark.core.errors import ConfigError
from benchmark.core.resources import CONF
from tests.harness import compose, typed

FILES = sorted(CONF.rglob("*.yaml"))
REQUIRED = {"dataset=folder": ["dataset.path=somewhere"]}
"""Options with values that only the user can give."""
LAUNCHER_PLUGINS = {"local_jobs": "joblib", "local_submitit": "submitit", "slurm": "submitit"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONF).as_posix())
def test_first_line_says_what_the_option_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]  # Hydra wants its own header before all else
    assert first.startswith("# ") and len(first) > 15, f"{path}: the first line must be a comment that says what it is"


@pytest.mark.parametrize("choice", [f"{g}={o}" for g in GROUPS for o in options(g)])
def test_every_option_becomes_typed_settings(choice: str) -> None:
    group = choice.partition("=")[0]
    config = typed(choice, *REQUIRED.get(choice, []))
    assert type(getattr(config, group)).__module__.startswith("benchmark.")


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_is_a_run_of_its_paper_whose_parts_can_be_replaced(name: str) -> None:
    config = typed(f"experiment={name}")
    assert config.choices["experiment"] == name
    assert name.startswith(config.choices["protocol"]), "a paper's experiment is scored as that paper does"
    other = typed(f"experiment={name}", "pipeline=constant", "run.limit=3")
    assert other.dataset == config.dataset and other.protocol == config.protocol
    assert other.choices["pipeline"] == "constant"


def test_options_that_an_experiment_replaced_are_answered_with_it() -> None:
    for (group, option), words in REPLACED.items():
        assert option not in options(group)
        with pytest.raises(ConfigError, match=f"{group}={option} is now {group}="):
            compose(f"{group}={option}")
        plain, _, experiment = words.partition(", or ")
        assert compose(*plain.split())[0]["dataset"] == compose(experiment)[0]["dataset"]


@pytest.mark.parametrize("preset", options("sweep"))
def test_every_sweep_preset_composes_and_sweeps(preset: str) -> None:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra_compose("config", [f"+sweep={preset}"], return_hydra_config=True)
    assert OmegaConf.to_container(config.hydra.sweeper)["params"]  # type: ignore[index]


@pytest.mark.parametrize("preset", options("hydra/launcher"))
def test_every_launcher_preset_composes(preset: str) -> None:
    if find_spec(f"hydra_plugins.hydra_{LAUNCHER_PLUGINS[preset]}_launcher") is None:
        pytest.skip(f"the extra {LAUNCHER_PLUGINS[preset]} is not installed")
    compose(f"hydra/launcher={preset}")


def test_defaults_are_those_the_readme_names() -> None:
    assert typed().choices == {
        "dataset": "sat",
        "pipeline": "patchcore",
        "backbone@pipeline.backbone": "efficientnet_lite0",
        "protocol": "default",
        "metric": "standard",
        "tracking": "mlflow",
    }


@pytest.mark.parametrize(
    ("override", "key", "near"),
    [
        ("+dataset.sead=1", "dataset.sead", "'seed'"),
        ("+run.seeed=1", "run.seeed", "'seed'"),
        ("run.seed=abc", "run.seed", "a whole number of 0 or more"),
        ("run.overwrite=sometimes", "run.overwrite", "never, only_missing or always"),
        ("run.shard=1of4", "run.shard", "give one of how many, such as 0/4"),
        ("+datset.seed=1", "datset", "'dataset'"),
        ("protocol.size=[64]", "protocol.size: needs more values", "[64]"),
    ],
)
def test_wrong_keys_and_types_are_named(override: str, key: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed(override)
    assert key in str(caught.value) and near in str(caught.value)


def test_a_wrong_key_inside_a_group_of_keys_names_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'dataset\.subset\.goood'; did you mean 'good'\?"):
        typed("dataset=folder", "dataset.subset={good: 1, defective: 1, seed: 0, goood: 2}")


@pytest.mark.parametrize(
    ("overrides", "protocol"),
    [
        (["pipeline=saa_plus"], "saa_plus"),
        (["pipeline=anomalyvlm"], "anomalyvlm"),
        (["pipeline=saa_plus", "protocol=default"], "default"),
        (["pipeline=constant"], "default"),
    ],
)
def test_a_pipeline_brings_the_protocol_of_its_paper_unless_told_otherwise(overrides: list[str], protocol: str) -> None:
    assert typed(*overrides).choices["protocol"] == protocol
