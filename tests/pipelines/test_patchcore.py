"""PatchCore: what is remembered, how much of it, and that planted defects stand out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Manifest
from benchmark.models import patch_bank
from benchmark.models.patch_bank import PROJECTED, choose_spread, compare
from benchmark.models.score_map import reach, smooth
from benchmark.pipelines.patchcore import PatchCore
from benchmark.pipelines.references import normal_images
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import predict, run, typed
from tests.parity import toys
from tests.pictures import save_sample
from tests.tiny_models import one_thread  # noqa: F401

TOY = (
    "pipeline=patchcore",
    "backbone@pipeline.backbone=toy",
    "pipeline.allow_random_weights=true",
)
PUBLIC = json.loads((Path(__file__).parents[1] / "parity" / "compared.json").read_text())


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
        *(*TOY, "pipeline.backbone.side=256", "pipeline.smoothing=1", "pipeline.most=1000"),
    )
    values = {m.metric: m.value for m in finished.result.metrics if m.category == "mean"}
    assert values["auroc"] is not None and values["auroc"] > 0.9
    assert values["ap"] is not None and values["ap"] > 0.05  # one pixel in 500 is defective
    assert finished.result.weights[-1].target_data == ("sat",)


def test_the_rule_that_spreads_the_memory_is_that_of_anomalib() -> None:
    points = torch.from_numpy(np.random.default_rng(3).standard_normal((300, 20)).astype(np.float32))
    assert choose_spread(points, number=30, seed=11).tolist() == PUBLIC["coreset"]["chosen"]
    assert choose_spread(points, number=400, seed=11).tolist() == list(range(300))


def plain_spread(points: torch.Tensor, number: int, *, seed: int) -> list[int]:
    """The rule in one piece, over all points at once."""
    draws = np.random.default_rng(seed)
    matrix = draws.standard_normal((points.shape[1], PROJECTED), dtype=np.float32) / np.sqrt(np.float32(PROJECTED))
    points = points @ torch.from_numpy(matrix)
    chosen = [int(draws.integers(len(points)))]
    nearest = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < number:
        nearest[chosen[-1]] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    return chosen


@pytest.mark.slow
def test_blocks_and_threads_change_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.from_numpy(np.random.default_rng(4).standard_normal((777, 150)).astype(np.float32))
    points[500:] = points[:277]  # equal distances: of these the first one is taken
    expected = plain_spread(points, 150, seed=2)
    for block, threads in ((1, 1), (PROJECTED * 100, 2), (PROJECTED * 300, 3), (1 << 20, 2)):
        monkeypatch.setattr(patch_bank, "BLOCK", block)
        torch.set_num_threads(threads)
        try:
            assert choose_spread(points, number=150, seed=2).tolist() == expected
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)


@pytest.mark.parametrize("deviation", [0.2, 1.0, 4.0])
def test_the_gaussian_is_that_of_torchvision_and_nearer_to_the_true_one(deviation: float) -> None:
    from scipy.ndimage import gaussian_filter
    from torchvision.transforms.functional import gaussian_blur

    score_map = np.random.default_rng(0).random((48, 70), dtype=np.float32)
    expected = gaussian_blur(torch.from_numpy(score_map)[None], 2 * reach(deviation) + 1, deviation)[0].numpy()
    true = gaussian_filter(score_map.astype(np.float64), deviation, radius=reach(deviation), mode="mirror")
    np.testing.assert_allclose(smooth(score_map, deviation=deviation), expected, rtol=0, atol=3e-6)
    np.testing.assert_allclose(smooth(score_map, deviation=deviation), true, rtol=0, atol=5e-7)
    assert smooth(score_map, deviation=0) is score_map


def test_distances_and_image_score_are_those_of_the_formulas() -> None:
    draws = np.random.default_rng(0)
    patches, memory = (draws.standard_normal((n, 5)).astype(np.float32) + 3 for n in (30, 12))
    away = np.linalg.norm(patches[:, None].astype(float) - memory[None], axis=2)
    found = compare(torch.from_numpy(patches), torch.from_numpy(memory), neighbours=3)
    np.testing.assert_allclose(found.distances, away.min(1), rtol=1e-5)
    worst = away.min(1).argmax()
    nearest = memory[away[worst].argmin()]
    support = np.argsort(np.linalg.norm(memory - nearest, axis=1))[:3]
    powers = np.exp(away[worst][support])
    assert found.image_score == pytest.approx(away[worst].min() * (1 - powers[0] / powers.sum()), rel=1e-4)
    alone = compare(torch.from_numpy(patches), torch.from_numpy(memory), neighbours=1)
    assert alone.image_score == pytest.approx(away.min(1).max(), rel=1e-5)


def test_the_memory_is_bounded_however_many_images_there_are(tmp_path: Path) -> None:
    pipeline = typed(
        *TOY, "pipeline.backbone.side=64", "pipeline.candidates=90", "pipeline.share=0.5", "pipeline.most=40"
    )
    assert isinstance(pipeline.pipeline, PatchCore)
    where = context(tmp_path, train=3)
    assert len(predict(pipeline.pipeline, where)) == 1
    (entry,) = where.store.entries("patchcore_bank")
    kept = where.store.get("patchcore_bank", entry.path.name.partition(".")[0])
    assert kept is not None
    assert kept["bank"].shape == (40, 240)  # 30 of each image's 64 patches, half of the 90, at most 40


def test_another_seed_remembers_other_patches(tmp_path: Path) -> None:
    pipeline = typed(*TOY, "pipeline.backbone.side=64", "pipeline.share=0.1").pipeline
    maps = []
    for seed in (0, 0, 1):
        folder = tmp_path / f"{len(maps)}"
        folder.mkdir()
        ((_, prediction),) = predict(pipeline, context(folder, train=2, seed=seed))
        maps.append(prediction.score_map)
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_too_few_normal_images_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toys/toys has 0 good training images"):
        predict(typed(*TOY).pipeline, context(tmp_path, train=0))
    with pytest.raises(DataError, match=r"has 2 good training images, pipeline\.shots needs 3"):
        normal_images(context(tmp_path, train=2), "toys", number=3, setting="pipeline.shots")


def test_a_gaussian_wider_than_the_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too wide"):
        predict(typed(*TOY, "pipeline.backbone.side=64", "pipeline.smoothing=20").pipeline, context(tmp_path, train=1))
