"""PaDiM: planted defects stand out, the channels follow the seed, what cannot work is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Manifest
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import predict, run, typed
from tests.parity import toys
from tests.pictures import save_sample
from tests.tiny_models import FEATURES, one_thread  # noqa: F401

TOY = ("pipeline=padim", *FEATURES, "pipeline.channels=20", "pipeline.smoothing=1")


def context(folder: Path, *, train: int, seed: int = 0) -> Context:
    samples = tuple(
        save_sample(folder / f"{number}.png", toys.picture(number), split="train" if number else "test")
        for number in range(train + 1)
    )
    manifest = Manifest(dataset="toys", samples=samples)
    return Context(manifest=manifest, samples=manifest.test, store=Store(folder / "store"), workers=0, seed=seed)


def test_planted_defects_stand_out_and_the_result_says_what_was_learnt(tmp_path: Path) -> None:
    finished = run(
        tmp_path,
        *("dataset=sat", "dataset.n_good=6", "dataset.n_defective=9", "dataset.n_train=12"),
        *("dataset.contrast=2", "dataset.nuisance=0.3", "metric=full"),
        *(*TOY, "pipeline.backbone.side=256"),
    )
    values = {m.metric: m.value for m in finished.result.metrics if m.category == "mean"}
    assert values["auroc"] is not None and values["auroc"] > 0.85
    assert finished.result.weights[-1].target_data == ("sat",)


def test_the_channels_follow_the_seed_and_a_kept_gaussian_gives_the_same_map(tmp_path: Path) -> None:
    maps = []
    for seed in (0, 0, 1):
        folder = tmp_path / f"{len(maps)}"
        folder.mkdir()
        where = context(folder, train=3, seed=seed)
        ((_, first),) = predict(typed(*TOY).pipeline, where)
        for entry in list(where.store.entries("padim_distances")):
            entry.path.unlink()
        ((_, again),) = predict(typed(*TOY).pipeline, where)
        np.testing.assert_array_equal(first.score_map, again.score_map)
        maps.append(first.score_map)
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_batches_change_nothing(tmp_path: Path) -> None:
    maps = []
    for size in (1, 2, 8):
        folder = tmp_path / f"{size}"
        folder.mkdir()
        ((_, found),) = predict(typed(*TOY, f"pipeline.batch_size={size}").pipeline, context(folder, train=5))
        maps.append(found.score_map)
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toys/toys has 0 good training images"):
        predict(typed(*TOY).pipeline, context(tmp_path, train=0))
    with pytest.raises(ConfigError, match="too wide"):
        predict(typed(*TOY, "pipeline.smoothing=30").pipeline, context(tmp_path, train=1))
    with pytest.raises(ConfigError, match=r"backbone\.side"):
        typed(*TOY, "pipeline.backbone.side=null")
    where = context(tmp_path, train=1)
    (tmp_path / "1.png").write_bytes(b"no image")
    where.on_error = "record"
    assert not predict(typed(*TOY).pipeline, where)
    assert "none of the 1 good images of toys can be read" in where.failed["0.png"]
