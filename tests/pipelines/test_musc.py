"""MuSc: scores depend on the set of images and on nothing else; the result says that it is transductive."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError, DataError
from benchmark.core.samples import Manifest, Prediction, Sample
from benchmark.running.sharding import Shard, shard_samples
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import plan_of, run, typed
from tests.pictures import save_sample
from tests.tiny_models import FEATURES, one_thread  # noqa: F401

TOY = ("pipeline=musc", *FEATURES, "pipeline.neighbourhoods=[1,3]", "pipeline.batch_size=3")


def picture(number: int) -> Any:
    """One scene with a little noise; numbers from 100 have a patch that no other has."""
    scene = np.kron(np.random.default_rng(7).integers(40, 200, (8, 8, 3)), np.ones((12, 12, 1), dtype=int))
    draws = np.random.default_rng(number)
    image = scene + draws.integers(-4, 5, scene.shape)
    if number >= 100:
        image[30:60, 40:70] = draws.integers(0, 256, (30, 30, 3))
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    numbers = (*range(8), 100)
    return tuple(save_sample(folder / f"{n:03}.png", picture(n), defective=n >= 100, category="part") for n in numbers)


def context(samples: Sequence[Sample], folder: Path, **more: Any) -> Context:
    manifest = Manifest(dataset="toys", samples=tuple(samples))
    return Context(manifest=manifest, samples=manifest.test, store=Store(folder), workers=0, **more)


def predict(where: Context, *words: str) -> dict[str, Prediction]:
    return {sample.id: found for sample, found in harness.predict(typed(*TOY, *words).pipeline, where)}


def assert_same(
    found: dict[str, Prediction], expected: dict[str, Prediction], names: Iterable[str] | None = None
) -> None:
    for name in expected if names is None else names:
        np.testing.assert_array_equal(found[name].score_map, expected[name].score_map)
        assert found[name].image_score == expected[name].image_score


def test_what_no_other_image_has_stands_out(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    found = predict(context(samples, tmp_path))
    *good, odd = [found[sample.id] for sample in samples]
    assert odd.image_score is not None and max(one.image_score or 0 for one in good) < odd.image_score <= 1
    assert odd.score_map is not None
    row, column = np.unravel_index(odd.score_map.argmax(), odd.score_map.shape)
    assert 25 <= row < 65 and 35 <= column < 75
    assert {one.extra["compared"] for one in found.values()} == {8}


def test_order_batches_and_an_interruption_change_nothing(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    expected = predict(context(samples, tmp_path / "a"))
    assert_same(predict(context(samples[::-1], tmp_path / "b")), expected)
    assert_same(predict(context(samples, tmp_path / "c"), "pipeline.batch_size=9"), expected)
    resumed = context(samples, tmp_path / "d")
    pipeline = typed(*TOY).pipeline
    features, scores = plan_of(pipeline, resumed).distinct
    for stage, part in ((features, samples[2:5]), (scores, samples[6:7])):  # what a killed run had kept
        assert len(list(resumed.run(stage, part))) == len(part)
    assert_same(predict(context(samples, tmp_path / "d")), expected)


@pytest.mark.parametrize("most", [200, 5])
def test_shards_compute_what_the_whole_run_does(samples: tuple[Sample, ...], tmp_path: Path, most: int) -> None:
    words = (f"pipeline.most={most}",)
    expected = predict(context(samples, tmp_path / "whole"), *words)
    where = context(samples, tmp_path / "shared")
    pipeline = typed(*TOY, *words).pipeline
    for number in (1, 2):
        mine = shard_samples(where.samples, Shard(number, 2))
        for stage in plan_of(pipeline, where).distinct:
            assert len(list(where.run(stage, mine))) == len(mine)
    last = context(samples, tmp_path / "shared")
    assert_same(predict(last, *words), expected)
    assert all(stats.computed == 0 for stats in last.stats.values())


def test_the_set_names_the_stage(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    def fingerprints(chosen: Sequence[Sample], *words: str, seed: int = 0) -> list[str]:
        found = plan_of(typed(*TOY, *words).pipeline, context(chosen, tmp_path, seed=seed)).distinct
        return [stage.fingerprint for stage in found]

    base = fingerprints(samples)
    assert fingerprints(samples[:8])[0] == base[0] and fingerprints(samples[:8])[1] != base[1]
    assert fingerprints(samples, seed=1) == base, "nothing is drawn where all images are scored together"
    split = fingerprints(samples, "pipeline.most=5")
    assert split != base and fingerprints(samples, "pipeline.most=5", seed=1) != split
    assert fingerprints(samples, "pipeline.share=0.5")[1] != base[1]
    assert fingerprints(samples, "pipeline.similar=[]", "pipeline.batch_size=1") == base


def test_a_large_category_is_scored_in_parts(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    found = predict(context(samples, tmp_path), "pipeline.most=5")
    assert sorted(int(str(one.extra["compared"])) for one in found.values()) == [3] * 4 + [4] * 5
    together = predict(context(samples, tmp_path))
    assert not np.array_equal(found[samples[0].id].score_map, together[samples[0].id].score_map)


def test_equal_images_share_a_score_and_count_for_each_other(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    odd = samples[-1]
    copied = tmp_path / "copy.png"
    shutil.copy(odd.image, copied)
    twin = save_sample(copied, picture(100), defective=True, category="part")
    assert twin.sha256 == odd.sha256
    found = predict(context((*samples, twin), tmp_path / "store"), "pipeline.similar=[]", "pipeline.share=0.1")
    np.testing.assert_array_equal(found[odd.id].score_map, found[twin.id].score_map)
    score_map = found[odd.id].score_map
    assert score_map is not None and score_map.max() < 2e-3, "each finds itself in the other"


def test_an_unreadable_image_is_left_out_of_the_set(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    bad = Sample(
        **{name: getattr(samples[0], name) for name in Sample.__slots__ if name not in ("id", "image", "sha256")},
        id="broken.png",
        image=broken,
        sha256="0" * 64,
    )
    where = context((bad, *samples), tmp_path / "store", on_error="record")
    found = predict(where)
    assert set(where.failed) == {"broken.png"} and set(found) == {sample.id for sample in samples}
    assert {one.extra["compared"] for one in found.values()} == {8}
    assert_same(found, predict(context(samples, tmp_path / "other")))
    with pytest.raises(BenchmarkError, match=r"broken\.png"):
        predict(context((bad, *samples), tmp_path / "stop"))


def test_the_result_says_that_test_images_were_used(tmp_path: Path) -> None:
    finished = run(tmp_path, *("dataset=sat", "dataset.n_good=6", "dataset.n_defective=6", "dataset.size=64"), *TOY)
    used = finished.result.weights[-1]
    assert "transductive" in used.name and used.target_data == ("sat",)
    assert used.trained_on == ("sat (all its test images, without labels)",)
    limited = run(
        tmp_path, *("dataset=sat", "dataset.n_good=6", "dataset.n_defective=6", "dataset.size=64"), *TOY, "run.limit=4"
    )
    assert limited.result.stages[1].fingerprint != finished.result.stages[1].fingerprint


def test_what_cannot_work_is_refused(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toys/part has one test image"):
        predict(context(samples[:1], tmp_path))
    for words, message in ((("pipeline.neighbourhoods=[2]",), "odd"), (("pipeline.backbone.side=null",), "side")):
        with pytest.raises(ConfigError, match=message):
            typed(*TOY, *words)
