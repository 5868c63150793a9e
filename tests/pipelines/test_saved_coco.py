"""Predictions as COCO files of other programs, and of our own exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.core.samples import MaskSet, Prediction, Sample
from benchmark.pipelines.saved_coco import CocoSettings, read_coco
from benchmark.results.export_index import EXPORT
from tests.data.dataset_trees import save
from tests.harness import run

SHAPE = (24, 18)
BLOCK = (slice(4, 10), slice(5, 12))
PLAIN = CocoSettings(images=None, boxes="error", threshold=None)


def code(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": MaskSet.encode(mask[None]).counts[0].decode()}


def block(*, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[BLOCK] = True
    return mask


def runs(mask: np.ndarray) -> dict[str, Any]:
    from benchmark.data.draw import runs_of

    return {"size": list(mask.shape), "counts": list(runs_of(mask))}


def images(*names: str) -> list[dict[str, Any]]:
    return [{"id": at, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]} for at, name in enumerate(names, 1)]


def samples(folder: Path, *names: str) -> list[Sample]:
    picture = save(folder / "a.png", np.zeros(SHAPE, dtype=np.uint8))
    return [
        Sample(id=name, image=picture, mask=None, defective=False, category="cap", defect_type="good", group=name,
               split="test", sha256=name)
        for name in names
    ]  # fmt: skip


def read(
    folder: Path, results: Any, listing: Any = None, *, names: tuple[str, ...] = ("cap/test/cut/0.png",), **how: Any
) -> tuple[dict[str, Prediction], list[str]]:
    (folder / "results.json").write_text(json.dumps(results))
    if listing is not None:
        (folder / "coco.json").write_text(json.dumps(listing))
    found, notes = read_coco(folder / "results.json", samples(folder, *names), replace(PLAIN, **how))
    return {key: make() for key, make in found.items()}, notes


POLYGON = [[5, 4, 12, 4, 12, 10, 5, 10]]
SEGMENTATIONS = {"compressed": code(block()), "uncompressed": runs(block()), "polygon": POLYGON}


@pytest.mark.parametrize("form", SEGMENTATIONS)
def test_every_segmentation_is_map_mask_and_score(tmp_path: Path, form: str) -> None:
    low = {"image_id": 1, "category_id": 1, "score": 0.25, "segmentation": code(np.ones(SHAPE, dtype=bool))}
    high = {"image_id": 1, "category_id": 1, "score": 0.75, "segmentation": SEGMENTATIONS[form]}
    listing = {"images": images("cap/test/cut/0.png", "0.png"), "categories": [{"id": 1, "name": "defect"}]}
    listing["images"].pop()
    (one,), notes = read(tmp_path, [low, high], listing)[0].values(), read(tmp_path, [low, high])[1]
    assert one.regions is not None and one.mask is not None
    assert (one.regions.score_map() == np.where(block(), 0.75, 0.25)).all()
    assert one.image_score == 0.75 and one.mask.all()
    assert any("coco_threshold" in note for note in notes)
    cut = read(tmp_path, [low, high], threshold=0.5)[0]["cap/test/cut/0.png"]
    assert cut.mask is not None and (cut.mask == block()).all() and cut.regions is not None
    assert (cut.regions.score_map() == np.where(block(), 0.75, 0.25)).all(), "the map keeps what the mask leaves out"


def test_an_image_without_an_entry_is_empty_and_an_unlisted_one_is_missing(tmp_path: Path) -> None:
    names = ("cap/test/cut/0.png", "cap/test/cut/1.png", "cap/test/cut/2.png")
    listing = {"images": images("photos\\cap\\test\\cut\\0.png", "cut/1.png", "elsewhere/9.png")}
    result = [{"image_id": 1, "score": 1, "segmentation": code(block())}]
    found, notes = read(tmp_path, result, listing, names=names)
    assert found.keys() == {*names[:2]}
    empty = found["cap/test/cut/1.png"]
    assert empty.image_score == 0 and empty.mask is not None and not empty.mask.any()
    assert empty.regions is not None and not empty.regions.score_map().any()
    assert any(note.startswith("2 images of coco.json have no region") for note in notes)
    assert any(note.startswith("1 image of coco.json is not in this run") for note in notes)


def test_annotations_without_scores_are_masks_alone_and_good_classes_are_left_out(tmp_path: Path) -> None:
    whole = {"id": 2, "image_id": "1", "category_id": 2, "segmentation": code(np.ones(SHAPE, dtype=bool))}
    data = {
        "images": images("cap/test/cut/0.png"),
        "categories": [{"id": 1, "name": "scratch"}, {"id": 2.0, "name": "Background"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": runs(block())}, whole],
    }
    found, notes = read(tmp_path, data)
    one = found["cap/test/cut/0.png"]
    assert one.regions is None and one.image_score is None and one.mask is not None and (one.mask == block()).all()
    assert notes == ["1 COCO annotation is of classes that are no defect, and left out"]


def test_boxes_are_refused_or_stated(tmp_path: Path) -> None:
    listing = {"images": images("cap/test/cut/0.png")}
    result = [{"image_id": 1, "score": 0.5, "bbox": [5, 4, 7, 6], "segmentation": []}]
    with pytest.raises(
        DataError, match=r"results\.json, annotation number 1: a box without an outline.*coco_boxes=mask"
    ):
        read(tmp_path, result, listing)
    found, notes = read(tmp_path, result, listing, boxes="mask")
    assert (found["cap/test/cut/0.png"].mask == block()).all()
    assert "1 COCO region is a box, of which all pixels count" in notes


GOOD = {"image_id": 1, "score": 0.5, "segmentation": code(block())}
LISTING = {"images": images("cap/test/cut/0.png")}
BAD: dict[str, tuple[Any, Any, str]] = {
    "no list": ([GOOD], None, "give the JSON file whose list images has the numbers as pipeline.coco_images"),
    "no results": ({"images": []}, LISTING, "neither a list of COCO results nor an object"),
    "list without images": ([GOOD], {"annotations": []}, "coco.json: no list images in it"),
    "unknown image": ([{**GOOD, "image_id": 7}], LISTING, "annotation number 1: no image 7 in "),
    "no image": ([{"score": 1, "segmentation": code(block())}], LISTING, "number 1: it has no 'image_id'"),
    "no place": ([{"image_id": 1, "score": 1}], LISTING, "neither segmentation nor 'bbox'"),
    "word": (["x"], LISTING, "not an annotation with image_id"),
    "some scores": ([GOOD, {**GOOD, "score": None}], LISTING, "1 of 2 annotations have no score"),
    "negative": ([{**GOOD, "score": -1}], LISTING, "its score is -1, and must be finite and 0 or more"),
    "not finite": ([{**GOOD, "score": float("nan")}], LISTING, "its score is nan"),
    "no float32": ([{**GOOD, "score": 1e300}], LISTING, "its score is 1e+300"),
    "long number": ([{**GOOD, "score": 10**400}], LISTING, "its score is 1000"),
    "long place": ([{**GOOD, "segmentation": [[10**400] * 6]}], LISTING, "lies in no image"),
    "turned inside out": ([{**GOOD, "segmentation": {"size": [-24, -18], "counts": [432]}}], LISTING, "no image has"),
    "size of truths": ([GOOD], {"images": [{**LISTING["images"][0], "width": True}]}, "is none of an image"),
    "score of words": ([{**GOOD, "score": "high"}], LISTING, "its score 'high' is no number"),
    "cut off": ([{**GOOD, "segmentation": {"size": [24, 18], "counts": "0"}}], LISTING, "do not add up to 24 x 18"),
    "huge": ([{**GOOD, "segmentation": {"size": [9**9, 9], "counts": [1]}}], LISTING, "which no image has"),
    "two corners": ([{**GOOD, "segmentation": [[1, 2, 3, 4]]}], LISTING, "of three corners or more"),
    "id twice": ([GOOD], {"images": LISTING["images"] * 2}, "image 1: the id stands there twice"),
    "name twice": (
        [GOOD], {"images": [*LISTING["images"], {"id": 2, "file_name": "cut/0.png"}]},
        "cut/0.png stands there twice",
    ),
    "odd size": ([GOOD], {"images": [{**LISTING["images"][0], "width": -3}]}, "is none of an image; correct it"),
    "huge image": ([], {"images": [{**LISTING["images"][0], "width": 9**9}]}, "is none of an image; correct it"),
    "no object": ([], {"images": [5, None]}, "image number 1: no usable id"),
    "no text": ([GOOD, {**GOOD, "segmentation": {"size": "ab", "counts": {}}}], LISTING, "annotation number 2: "),
    "sizes": ([GOOD, {**GOOD, "segmentation": code(block(shape=(12, 18)))}], LISTING, "are of several sizes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_mistake_is_named_with_file_and_fix(tmp_path: Path, kind: str) -> None:
    results, listing, said = BAD[kind]
    with pytest.raises(DataError) as caught:
        read(tmp_path, results, listing)
    assert said in str(caught.value) and ".json" in str(caught.value)


def test_names_that_several_images_have_are_not_guessed_between(tmp_path: Path) -> None:
    names = ("cap/test/cut/0.png", "nut/test/cut/0.png")
    with pytest.raises(DataError, match=r"coco\.json, image 1: several images are called 0\.png; write the path"):
        read(tmp_path, [], {"images": images("0.png")}, names=names)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One category with two defective images of one mask."""
    rng = np.random.default_rng(0)
    for place in ("train/good/0", "train/good/1", "test/good/0", "test/good/1", "test/cut/0", "test/cut/1"):
        picture = rng.integers(90, 110, (*SHAPE, 3), dtype=np.uint8)
        if "cut" in place:
            picture[BLOCK] += 60
        save(tmp_path / f"mine/cap/{place}.png", picture)
    for number in range(2):
        save(tmp_path / f"mine/cap/ground_truth/cut/{number}_mask.png", block().astype(np.uint8) * 255)
    return tmp_path / "mine"


def ran(data: Path, *words: str) -> Any:
    return run(data.parent, "dataset=folder", f"dataset.path={data}", "metric=full", "protocol.resamples=20", *words)


def of_masks(finished: Any) -> list[dict[str, Any]]:
    return [m.model_dump() for m in finished.result.metrics if m.metric in ("iou", "iou_pooled")]


@pytest.mark.parametrize("forms", ["[coco]", pytest.param("[coco,csv]", marks=pytest.mark.slow)])
def test_an_export_as_coco_comes_back_with_equal_masks(data: Path, forms: str) -> None:
    first = ran(data, "pipeline=reference_difference", f"run.export={forms}")
    folder = first.folder / EXPORT
    back = ran(data, "pipeline=saved", f"pipeline.path={folder}")
    assert of_masks(back) == of_masks(first) and first.result.metric("iou").value > 0
    assert back.result.outcomes == {"ok": 4}
    by_file = ran(data, "pipeline=saved", f"pipeline.coco={folder / 'coco_results.json'}")
    assert of_masks(by_file) == of_masks(first) and by_file.result.metric("ap").value is not None


def test_labels_alone_are_not_read_as_empty_masks(data: Path) -> None:
    first = ran(data, "pipeline=constant", "pipeline.policy=always_defective", "run.export=[coco,csv]")
    back = ran(data, "pipeline=saved", f"pipeline.path={first.folder / EXPORT}")
    assert [m.model_dump() for m in back.result.metrics] == [m.model_dump() for m in first.result.metrics]


def test_regions_of_another_size_are_an_error_or_a_stated_resize(data: Path) -> None:
    small = code(block()[::2, ::2])
    listing = [{"id": at, "file_name": f"cut/{at}.png"} for at in range(2)]
    results = [{"image_id": at, "score": 0.5, "segmentation": small} for at in range(2)]
    (data.parent / "mine.json").write_text(json.dumps({"images": listing, "annotations": results}))
    words = ("pipeline=saved", f"pipeline.coco={data.parent / 'mine.json'}")
    with pytest.raises(DataError, match=r"is 9x12 \(width x height\), the image 18x24"):
        ran(data, *words)
    result = ran(data, *words, "pipeline.resize=linear").result
    assert result.outcomes == {"ok": 2, "failed": 2} and result.metric("iou").value > 0


def test_a_json_file_given_as_the_folder_is_told(data: Path) -> None:
    (data.parent / "r.json").write_text("[]")
    with pytest.raises(DataError, match=r"r\.json: a file; give it as pipeline\.coco"):
        ran(data, "pipeline=saved", f"pipeline.path={data.parent / 'r.json'}")
