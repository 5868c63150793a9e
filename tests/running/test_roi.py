"""Regions of interest: what lies outside counts nowhere, as if images had been cut to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError, ConfigError, DataError
from benchmark.core.samples import GroundTruth, MaskSet, Prediction, Regions
from benchmark.scoring.inside import prediction_inside, truth_inside
from tests.data.dataset_trees import save
from tests.harness import ROOT, run

SHAPE = (24, 18)
WINDOW = np.s_[3:20, 2:15]
"""Cuts through the first defect, and leaves the second one out."""
FULL = ("metric=full", "protocol.resamples=20")
OWN = f"hydra.searchpath=['file://{ROOT / 'tests/conf'}']"


def made(folder: Path, cut: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Images, masks and maps of two categories, each through ``cut``; the scores outside of the window are high."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:6, 5:12] = mask[22:24, 16:18] = 255
    for category in ("cap", "nut"):
        for place in ("test/good/0", "test/good/1", "test/cut/0", "test/cut/1", "train/good/0", "train/good/1"):
            picture = rng.integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
            scores = rng.random(SHAPE, dtype=np.float32) + (mask > 0) * np.float32(0.4 if "cut" in place else 0)
            scores[0] = scores[:, -1] = rng.random(dtype=np.float32) * 50
            save(folder / f"mine/{category}/{place}.png", np.ascontiguousarray(cut(picture)))
            (folder / f"maps/{category}/{place}").parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"maps/{category}/{place}.npy", cut(scores))
        for name in ("0", "1"):
            save(folder / f"mine/{category}/ground_truth/cut/{name}_mask.png", np.ascontiguousarray(cut(mask)))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    roi = np.zeros(SHAPE, dtype=np.uint8)
    roi[WINDOW] = 255
    save(tmp_path / "roi.png", roi)
    for category in ("cap", "nut"):
        save(tmp_path / f"each/{category}.png", roi)
    return made(tmp_path / "whole", lambda a: a)


def scored(data: Path, *words: str, pipeline: str = "saved") -> Any:
    maps = (f"pipeline.path={data / 'maps'}",) if pipeline == "saved" else (OWN,)
    given = ("dataset=folder", f"dataset.path={data / 'mine'}", f"pipeline={pipeline}", *maps)
    return run(data.parent, *given, *FULL, *words)


def numbers(finished: Any) -> list[dict[str, Any]]:
    return [metric.model_dump() for metric in finished.result.metrics]


@pytest.mark.parametrize("protocol", ["default", "anomalyvlm"])
def test_metrics_are_those_of_images_cut_to_it(data: Path, protocol: str) -> None:
    words = (f"protocol={protocol}", *(("protocol.size=null",) if protocol != "default" else ()))
    inside = scored(data, f"dataset.roi={data.parent / 'roi.png'}", *words)
    cut = scored(made(data.parent / "cut", lambda a: a[WINDOW]), *words)
    whole = scored(data, *words)
    assert numbers(inside) == numbers(cut) and numbers(inside) != numbers(whole)
    assert "only pixels inside dataset.roi count; image scores are the largest score inside" in (
        inside.result.dataset.notes
    )


def test_it_is_part_of_what_a_run_is_by_what_it_says(data: Path) -> None:
    roi = data.parent / "roi.png"
    plain, first = scored(data), scored(data, f"dataset.roi={roi}")
    assert "roi" not in plain.result.config["dataset"], "without one, a run is what it was"
    moved = roi.rename(data.parent / "elsewhere.png")
    assert scored(data, f"dataset.roi={moved}").result.id == first.result.id
    each = scored(data, f"dataset.roi={data.parent / 'each'}")
    assert numbers(each) == numbers(first)
    mapped = scored(data, f"dataset.roi={{cap: {moved}, nut: {moved}}}")
    assert numbers(mapped) == numbers(first) and mapped.result.id == each.result.id
    half = scored(data, f"dataset.roi={{cap: {moved}, nut: null}}")
    assert half.result.metric("ap", "cap") == first.result.metric("ap", "cap")
    assert half.result.metric("ap", "nut") == plain.result.metric("ap", "nut")
    save(moved, np.full(SHAPE, 9, dtype=np.uint8))
    all_in = scored(data, f"dataset.roi={moved}")
    assert all_in.result.id != first.result.id and all_in.result.metric("ap") == plain.result.metric("ap")


def test_regions_and_exports_end_at_the_border(data: Path) -> None:
    word = f"dataset.roi={data.parent / 'roi.png'}"
    first = scored(data, word, "run.export=maps,csv,masks", pipeline="slow_regions")
    scores = np.load(first.folder / "export/maps/cap/test/cut/0.npy")
    outside = np.ones(SHAPE, dtype=bool)
    outside[WINDOW] = False
    assert scores.max() > 0 and not scores[outside].any()
    back = run(data.parent, "dataset=folder", f"dataset.path={data / 'mine'}", word, "pipeline=saved",
               f"pipeline.path={first.folder / 'export'}", *FULL)  # fmt: skip
    assert numbers(back) == numbers(first)


def test_a_prediction_inside_says_nothing_of_the_outside() -> None:
    rng = np.random.default_rng(1)
    roi = np.zeros(SHAPE, dtype=bool)
    roi[WINDOW] = True
    masks = rng.random((5, *SHAPE)) < 0.2
    masks[4] = ~roi
    for combine in ("max", "mean", "sum"):
        regions = Regions(masks=MaskSet.encode(masks), index=np.array([0, 2, 4]), scores=np.float32([0.3, 0.2, 0.9]),
                          combine=combine)  # type: ignore[arg-type]  # fmt: skip
        cut = prediction_inside(Prediction(regions=regions, image_score=0.9), roi, "x")
        assert cut.regions is not None
        assert (cut.regions.score_map() == np.where(roi, regions.score_map(), 0)).all()
        assert cut.image_score == cut.regions.score_map().max() < 0.9
    marked = Prediction(mask=~roi, label=True, image_score=0.7)
    assert prediction_inside(marked, roi, "x").label is False
    assert prediction_inside(marked, roi, "x").image_score == 0.7, "nothing tells what it would be inside"
    assert prediction_inside(Prediction(label=True), roi, "x").label is True
    failed = Prediction(outcome="failed", message="why")
    assert prediction_inside(failed, roi, "x") is failed
    truth = truth_inside(GroundTruth(mask=masks[0], ignore=masks[1]), roi)
    assert truth.ignore is not None and (truth.ignore == (~roi | masks[1])).all()
    assert (truth.mask == (masks[0] & roi)).all() and replace(truth, known=True) == truth


def test_defects_outside_are_counted_and_told(data: Path) -> None:
    roi = np.zeros(SHAPE, dtype=np.uint8)
    roi[10:20, 2:15] = 255
    result = scored(data, f"dataset.roi={save(data.parent / 'low.png', roi)}").result
    assert any("4 defective images have no defect inside dataset.roi, the first is cap/test/cut/0.png" in n
               for n in result.dataset.notes)  # fmt: skip
    assert result.metric("ap").value is None and result.metric("image_auroc").n == 8


def test_other_sizes_are_an_error_or_a_stated_resize(data: Path) -> None:
    small = np.asarray(Image.open(data.parent / "roi.png").resize((9, 12), Image.Resampling.NEAREST))
    path = save(data.parent / "small.png", small)
    with pytest.raises(
        DataError, match=r"small\.png: this region of interest is 9x12 .* is 18x24; .*roi_resize=nearest"
    ):
        scored(data, f"dataset.roi={path}")
    resized = scored(data, f"dataset.roi={path}", "dataset.roi_resize=nearest").result
    assert resized.outcomes == {"ok": 8}
    with pytest.raises(BenchmarkError, match="no sample could be predicted"):
        scored(data, f"dataset.roi={path}", "run.on_error=record")


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("{place}/nowhere.png", DataError, r"nowhere\.png: no such mask"),
        ("{place}/empty", DataError, "no mask in it"),
        ("{place}/black.png", DataError, "is all 0"),
        ("{place}/text.png", DataError, "not an image"),
        ("{cap: {place}/roi.png}", ConfigError, r"no mask of category 'nut'.*\{nut: null\}"),
    ],
)
def test_what_cannot_be_used_is_named(data: Path, value: str, kind: type[BenchmarkError], said: str) -> None:
    (data.parent / "empty").mkdir()
    save(data.parent / "black.png", np.zeros(SHAPE, dtype=np.uint8))
    (data.parent / "text.png").write_text("hello")
    with pytest.raises(kind, match=said):
        scored(data, f"dataset.roi={value.replace('{place}', str(data.parent))}")
