"""The three Text2Seg pipelines as whole runs, with tiny models of the real classes and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.models.cutout_stages import cut_out
from benchmark.pipelines.sam_clip import probabilities
from tests.data.dataset_trees import save
from tests.harness import run, typed
from tests.tiny_models import one_thread, tiny  # noqa: F401

THREE = ("groundingdino_sam", "sam_clip", "clip_surgery_sam")
PRESETS = ("sam_clip_text2seg", "clip_surgery_sam_text2seg", "clip_surgery_sam_demo")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tries to reach another machine fails."""
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a pipeline tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MVTec layout with two categories and images that are not square."""
    root = tmp_path_factory.mktemp("tree")
    draw = np.random.default_rng(0)
    for category, size in (("plate", (48, 70)), ("tile", (66, 40))):
        for place in ("train/good", "test/good", "test/hole"):
            save(root / category / place / "000.png", draw.integers(0, 256, (*size, 3), dtype=np.uint8))
        mask = np.zeros(size, dtype=np.uint8)
        mask[10:20, 10:30] = 255
        save(root / category / "ground_truth" / "hole" / "000_mask.png", mask)
    return root


def go(folder: Path, tree: Path, pipeline: str, *overrides: str) -> Any:
    chosen = ("dataset=folder", f"dataset.path={tree}", f"pipeline={pipeline}", *tiny(pipeline))
    return run(folder, *chosen, *overrides)


def counts(finished: Any) -> dict[str, tuple[int, int]]:
    measured = finished.result.measured
    return {name: (number, measured.samples_reused[name]) for name, number in measured.samples_computed.items()}


@pytest.mark.parametrize("pipeline", [*THREE, *PRESETS])
def test_a_whole_run(tmp_path: Path, tree: Path, pipeline: str) -> None:
    finished = go(tmp_path, tree, pipeline)
    result = finished.result
    assert result.outcomes == {"ok": 4}
    values = {m.metric: m.value for m in result.metrics if m.category == "mean"}
    assert all(values[name] is not None for name in ("iou", "ap", "f1_max", "f2"))
    assert result.meaningless
    assert all(w.random for w in result.weights) and len(result.weights) >= 2


def test_a_second_run_computes_nothing_and_says_the_same(tmp_path: Path, tree: Path) -> None:
    first = go(tmp_path, tree, "clip_surgery_sam")
    again = go(tmp_path, tree, "clip_surgery_sam")
    assert all(computed == 0 for computed, _ in counts(again).values())
    assert again.result.digest == first.result.digest


def test_the_embedding_is_computed_once_for_all_pipelines(tmp_path: Path, tree: Path) -> None:
    seen = [counts(go(tmp_path, tree, pipeline))["sam_embedding"] for pipeline in THREE]
    assert seen == [(4, 0), (0, 4), (0, 4)]


@pytest.mark.parametrize(
    ("pipeline", "change"),
    [
        ("groundingdino_sam", "pipeline.box_threshold=0.6"),
        ("sam_clip", "pipeline.threshold=0.2"),
        ("sam_clip", "pipeline.score=cosine"),
        ("clip_surgery_sam", "pipeline.score=similarity_map"),
    ],
)
def test_cheap_settings_compute_no_stage(tmp_path: Path, tree: Path, pipeline: str, change: str) -> None:
    first = go(tmp_path, tree, pipeline)
    second = go(tmp_path, tree, pipeline, change)
    assert all(computed == 0 for computed, _ in counts(second).values())
    assert second.result.id != first.result.id


def test_another_text_leaves_images_alone(tmp_path: Path, tree: Path) -> None:
    go(tmp_path, tree, "sam_clip")
    computed = {
        name: c for name, (c, _) in counts(go(tmp_path, tree, "sam_clip", "pipeline.prompts.default=[x]")).items()
    }
    assert computed.pop("clip_text") == 1
    assert set(computed.values()) == {0}


def test_texts_may_differ_by_category(tmp_path: Path, tree: Path) -> None:
    go(tmp_path, tree, "groundingdino_sam")
    finished = go(tmp_path, tree, "groundingdino_sam", "+pipeline.prompts.by_category.tile=[crack]")
    assert counts(finished)["groundingdino"][0] == 2
    with pytest.raises(ConfigError, match=r"has 'tiles'.*did you mean 'tile'"):
        go(tmp_path, tree, "groundingdino_sam", "+pipeline.prompts.by_category.tiles=[crack]")


def test_no_box_is_an_empty_answer(tmp_path: Path, tree: Path) -> None:
    result = go(tmp_path, tree, "groundingdino_sam", "pipeline.box_threshold=0.99999999").result
    values = {m.metric: m.value for m in result.metrics if m.category == "mean"}
    assert values["iou"] == 0
    assert result.outcomes == {"ok": 4}


def test_no_mask_is_an_empty_answer(tmp_path: Path, tree: Path) -> None:
    result = go(tmp_path, tree, "sam_clip", "pipeline.grid.pred_iou_thresh=99").result
    assert {m.metric: m.value for m in result.metrics if m.category == "mean"}["iou"] == 0


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (("pipeline.allow_random_weights=false",), ConfigError, "pipeline.allow_random_weights=true"),
        (("pipeline.box_threshold=0.2",), ConfigError, "lower the floors"),
        (("pipeline.sam.model=vit_h", "pipeline.sam.weights=published"), WeightsError, "make weights PIPELINE="),
        (("pipeline.sam.model=vit_x",), ConfigError, "pipeline.sam.model"),
    ],
)
def test_what_cannot_run_says_so_at_once(
    tmp_path: Path, tree: Path, overrides: tuple[str, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        go(tmp_path, tree, "groundingdino_sam", f"run.weights_root={tmp_path}", *overrides)
    assert not (tmp_path / "cache" / "stages").exists()


@pytest.mark.parametrize("pipeline", [THREE[0], *(pytest.param(name, marks=pytest.mark.slow) for name in THREE[1:])])
def test_images_of_any_kind_go_through(tmp_path: Path, pipeline: str) -> None:
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 256, (30, 45), dtype=np.uint8)
    images = {
        "grey": Image.fromarray(grey),
        "deep": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette": Image.fromarray(grey).convert("P"),
        "alpha": Image.fromarray(np.dstack([grey] * 4)),
        "pixel": Image.fromarray(grey[:1, :1]),
        "thin": Image.fromarray(grey[:2]),
        "large": Image.fromarray(np.tile(grey, (20, 20))),
    }
    (tmp_path / "set" / "x" / "train" / "good").mkdir(parents=True)
    (tmp_path / "set" / "x" / "test" / "good").mkdir(parents=True)
    images["grey"].save(tmp_path / "set" / "x" / "train" / "good" / "0.png")
    for name, image in images.items():
        image.save(tmp_path / "set" / "x" / "test" / "good" / f"{name}.png")
    finished = go(tmp_path, tmp_path / "set", pipeline)
    assert finished.result.outcomes == {"ok": len(images)}


def test_clip_surgery_takes_one_text(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(ConfigError, match="asks for one text, not 2"):
        go(tmp_path, tree, "clip_surgery_sam", "pipeline.prompts.default=[a,b]")


def test_needed_weights_are_the_published_ones() -> None:
    needs = {name: set(typed(f"pipeline={name}").pipeline.networks().registered()) for name in THREE}
    assert needs == {
        "groundingdino_sam": {"groundingdino_swint_ogc", "bert_base_uncased", "sam_vit_h"},
        "sam_clip": {"sam_vit_h", "clip_vit_b_16"},
        "clip_surgery_sam": {"sam_vit_h", "clip_vit_b_16"},
    }


def test_equal_scores_share_the_softmax() -> None:
    text = np.array([1, 0], dtype=np.float32)
    for masks, passing in ((20, 0), (19, 19), (1, 1), (0, 0)):
        vectors = np.repeat(text[None], masks, axis=0)
        assert (probabilities(vectors, text) > 0.05).sum() == passing


def test_a_cut_out_is_black_outside_the_mask_and_loses_the_last_line() -> None:
    image = np.full((6, 10, 3), 200, dtype=np.uint8)
    mask = np.zeros((6, 10), dtype=bool)
    mask[1:5, 2:9] = True
    mask[2, 3] = False
    cut = cut_out(image, mask, np.array([2, 1, 6, 3]), canvas="whole")
    assert cut.shape == (3, 6, 3)
    assert cut[1, 1].tolist() == [0, 0, 0] and (cut == 200).sum() == 3 * (3 * 6 - 1)
    swapped = cut_out(image, mask, np.array([2, 1, 6, 3]), canvas="text2seg")
    assert (swapped[:, 4:] == 0).all() and (swapped[:, :4] == cut[:, :4]).all()


def test_a_mask_one_pixel_wide_gives_a_black_pixel() -> None:
    image, mask = np.full((5, 5, 3), 9, dtype=np.uint8), np.ones((5, 5), dtype=bool)
    assert cut_out(image, mask, np.array([2, 1, 0, 3]), canvas="whole").tolist() == [[[0, 0, 0]]]


@pytest.mark.realdata
@pytest.mark.parametrize("dataset", [pytest.param("pets", marks=pytest.mark.slow), "mtd"])
@pytest.mark.parametrize("pipeline", THREE)
def test_a_run_on_real_images(tmp_path: Path, real_data: Path, dataset: str, pipeline: str) -> None:
    whole = ("dataset.subset=null", "dataset.allow_partial=true") if dataset == "pets" else ()
    chosen = (f"dataset={dataset}", f"pipeline={pipeline}", *tiny(pipeline), *whole)
    result = run(tmp_path, *chosen, f"run.data_root={real_data}", "run.limit=4").result
    assert result.outcomes == {"ok": 4} and result.meaningless
    assert result.dataset.n_samples_effective == 4
