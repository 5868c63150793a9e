"""The Python call: the same run as the command line, again and again, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import evaluate
from benchmark.api import literal
from benchmark.errors import ConfigError
from tests.harness import ROOT, SMALL_SAT, command, result_of

SMALL = {word.split("=")[0]: int(word.split("=")[1]) for word in SMALL_SAT[1:]}


def places(folder: Path) -> dict[str, Any]:
    return {
        "data_root": folder / "data",
        "results_root": folder / "results",
        "cache_root": folder / "cache",
        "tracking": "none",
    }


def test_it_is_the_run_of_the_command_line(tmp_path: Path) -> None:
    words = ("pipeline=reference_difference", "metric=full", "pipeline.align.motion=none")
    assert command(*SMALL_SAT, *words, folder=tmp_path / "line").returncode == 0
    called = evaluate(
        dataset="sat",
        pipeline="reference_difference",
        metric="full",
        settings={**SMALL, "pipeline": {"align": {"motion": "none"}}},
        **places(tmp_path / "call"),
    )
    line = result_of(tmp_path / "line")
    assert (called.result.id, called.result.digest) == (line["id"], line["digest"])
    assert called.result.config == line["config"]
    assert called.folder == tmp_path / "call" / "results" / "runs" / line["id"]
    table = called.table.set_index(["metric", "category"])
    assert len(table) == len(line["metrics"]) and table.loc[("ap", "mean"), "value"] == called.result.metric("ap").value
    assert list(called.images["defective"]).count(True) == 6


def test_it_works_twice_in_a_running_event_loop_and_leaves_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.setenv("BENCH_CACHE", "elsewhere")
    before = dict(os.environ)

    async def twice() -> list[str]:
        return [
            evaluate(pipeline="constant", settings=SMALL, overrides=words, **places(tmp_path)).result.digest
            for words in ([], ["run.overwrite=always"])
        ]

    first, second = asyncio.run(twice())
    assert first == second
    assert not GlobalHydra.instance().is_initialized()
    assert dict(os.environ) == before


def test_maps_stand_beside_images_and_truth(tmp_path: Path) -> None:
    threshold = 12.0
    settings = {**SMALL, "pipeline.threshold": threshold}
    run = evaluate(pipeline="reference_difference", settings=settings, **places(tmp_path))
    maps = list(run.maps())
    assert any(kept.mask is not None and kept.mask.any() for kept in maps)
    rows = run.images.set_index("id")
    assert [m.id for m in maps] == list(rows.index)
    for kept in maps:
        assert kept.image is not None and kept.image.shape == (64, 64, 3)
        assert kept.score is not None and kept.score.shape == (64, 64) and kept.score.dtype == np.float32
        assert kept.mask is not None and kept.mask.dtype == bool
        assert (kept.ground_truth is not None) == rows.loc[kept.id, "defective"]
        clear = np.abs(kept.score - threshold) > 0.08 * np.ptp(kept.score)  # the thumbnail is compressed
        assert clear.any()
        assert np.array_equal(kept.mask[clear], kept.score[clear] > threshold)


def test_options_of_ones_own_folder_are_found(tmp_path: Path) -> None:
    own = tmp_path / "own" / "pipeline"
    own.mkdir(parents=True)
    (own / "always.yaml").write_text("# Answers good.\ndefaults: [constant, _self_]\npolicy: always_good\n")
    run = evaluate(pipeline="always", settings=SMALL, config_dirs=[tmp_path / "own"], **places(tmp_path))
    assert run.result.choices["pipeline"] == "always" and run.result.config["pipeline"]["policy"] == "always_good"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pipeline": "refrence_difference"}, "did you mean 'reference_difference'"),
        ({"settings": {"run.sed": 1}}, "did you mean 'seed'"),
        ({"settings": {"dataset": {"nuisances": {"gian": 1}}}}, "did you mean 'gain'"),
        ({"settings": {"dataset.nuisances": {"gian": 1}}}, "did you mean 'gain'"),
        ({"settings": {"pipeline": 3}}, "pipeline"),
        ({"settings": {"run.limit": {1}}}, "set"),
        ({"overrides": ["run.shard=1/2"]}, "run.shard"),
    ],
)
def test_what_cannot_be_used_is_a_config_error(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluate(**{**places(tmp_path), **given})
    assert not (tmp_path / "results").exists()


VALUES = [
    None, True, 3, 2.5, float("inf"), "a b", "it's", "back\\", "a\\'b", "x,y", "null", "3", "", "{a}", "é=1",
    ["a", 1, [2, None]], {"k": 1, "b": {"c": ["z z"]}}, {}, Path("a b"),
    np.float64(2.5), np.int64(3), np.True_,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_reach_the_config_as_they_are(value: Any) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from benchmark.resources import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [f"+given.key={literal(value)}"]).given)
    assert config == {"key": str(value) if isinstance(value, Path) else value}


def test_importing_the_package_is_light() -> None:
    program = (
        "import sys, benchmark; from benchmark import evaluate; from benchmark import evaluate as again; "
        "assert evaluate is again and callable(evaluate) and benchmark.__version__; "
        "print([m for m in ('torch', 'pandas', 'hydra', 'mlflow', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
