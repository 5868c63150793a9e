"""COCO files as tools write them, and what is wrong with one named by its annotation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as official

from benchmark.core.errors import BenchmarkError
from tests.data.dataset_trees import dataset, save
from tests.data.importer_files import HEIGHT, SQUARE, WIDTH, coco, photo, read, square, told, truth, write
from tests.harness import run

FLAT = square().T.ravel().tolist()
COMPRESSED = official.encode(np.asfortranarray(square().astype(np.uint8)))
RUNS = [17, 4, 4, 4, 4, 4, 4, 4, 35]
"""Of the square, column by column."""
GOOD = ("1.png", False, "good")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of 10 x 8 pixels (width x height)."""
    for number in (1, 2):
        photo(tmp_path / f"{number}.png", seed=number)
    return tmp_path


READ: dict[str, tuple[dict[str, Any], str]] = {
    "polygon": (coco(), "scratch"),
    "no bbox": (coco(one_bbox=...), "scratch"),
    "flat polygon": (coco(one_segmentation=SQUARE[0]), "scratch"),
    "two outlines": (coco(one_segmentation=[[2, 1, 6, 1, 6, 3, 2, 3], [2, 3, 6, 3, 6, 5, 2, 5]]), "scratch"),
    "run lengths": (coco(one_segmentation={"size": [HEIGHT, WIDTH], "counts": RUNS}), "scratch"),
    "compressed": (
        coco(one_segmentation={"size": [HEIGHT, WIDTH], "counts": COMPRESSED["counts"].decode()}, one_iscrowd=1),
        "scratch",
    ),
    "ids of text": (coco(one_image_id="2", one_category_id="1"), "scratch"),
    "ids as decimals": (coco(one_image_id=2.0), "scratch"),
    "no size": (coco(images=[{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]), "scratch"),
    "no categories": (coco(categories=[]), "defect"),
    "Windows": (coco(images=[{"id": n, "file_name": f".\\{n}.png"} for n in (1, 2)]), "scratch"),
    "upper case": (coco(images=[{"id": n, "file_name": f"{n}.PNG"} for n in (1, 2)]), "scratch"),
}


@pytest.mark.parametrize("kind", READ)
def test_every_file_of_this_kind_is_read(folder: Path, kind: str) -> None:
    content, defect = READ[kind]
    found = read("coco", write(folder / "a.json", content))
    assert told(found) == [GOOD, ("2.png", True, defect)]
    assert (truth(found.test[1]) == square()).all() and not truth(found.test[0]).any()


def test_a_byte_order_mark_and_other_folders(folder: Path) -> None:
    write(folder / "annotations" / "a.json", coco(), encoding="utf-8-sig")
    assert told(read("coco", folder / "annotations" / "a.json"))[1] == ("2.png", True, "scratch")
    (folder / "images").mkdir()
    for number in (1, 2):
        (folder / f"{number}.png").rename(folder / "images" / f"{number}.png")
    assert told(read("coco", folder))[1] == ("images/2.png", True, "scratch")
    assert told(read("coco", folder / "annotations" / "a.json", root=folder / "images"))[1][0] == "2.png"


def test_several_categories_in_an_image(folder: Path) -> None:
    second = {"id": 9, "image_id": 2, "category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
    path = write(folder / "a.json", coco(annotations=[*coco()["annotations"], second]))
    found = read("coco", path)
    assert told(found)[1] == ("2.png", True, "dent+scratch") and truth(found.test[1]).sum() == 20
    settings = {"defects": ["dent"], "ignored": ["scratch"], "boxes": "label", "crowd": "defect"}
    chosen = read("coco", path, annotations={**settings, "line_width": None, "rescale": False})
    assert told(chosen)[1] == ("2.png", True, "dent") and truth(chosen.test[1]).sum() == 4
    with pytest.raises(BenchmarkError, match=r"annotations\.defects: no class 'dnt'; did you mean 'dent'"):
        read("coco", path, annotations={**settings, "defects": ["dnt"], "line_width": None, "rescale": False})


def settings(**changes: Any) -> dict[str, Any]:
    return {"defects": None, "ignored": [], "boxes": "label", "crowd": "defect", "line_width": None, "rescale": False,
            **changes}  # fmt: skip


@pytest.mark.parametrize("outline", [..., [], None, {}, [[]]])
def test_boxes_alone_are_labels_until_they_are_said_to_be_masks(folder: Path, outline: object) -> None:
    path = write(folder / "a.json", coco(one_segmentation=outline))
    found = read("coco", path)
    assert told(found)[1] == ("2.png", True, "scratch") and found.test[1].drawing is None
    assert any("dataset.annotations.boxes=mask" in note for note in found.notes)
    masked = read("coco", path, annotations=settings(boxes="mask"))
    assert (truth(masked.test[1]) == square()).all() and masked.fingerprint != found.fingerprint


def test_one_box_among_outlines_leaves_the_image_without_a_place(folder: Path) -> None:
    second = {"id": 9, "image_id": 2, "category_id": 2, "bbox": [0, 0, 2, 2]}
    path = write(folder / "a.json", coco(annotations=[*coco()["annotations"], second]))
    assert read("coco", path).test[1].drawing is None


def test_crowds_are_defects_or_ignored(folder: Path) -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": RUNS}
    path = write(folder / "a.json", coco(one_segmentation=runs, one_iscrowd=1))
    found = read("coco", path, annotations=settings(crowd="ignore")).test[1]
    from benchmark.data.masks import load_truth

    seen = load_truth(found, shape=(HEIGHT, WIDTH))
    assert found.defective and not seen.mask.any()
    assert seen.ignore is not None and (seen.ignore == square()).all()


def test_a_class_that_is_good_is_no_defect(folder: Path) -> None:
    found = read("coco", write(folder / "a.json", coco(categories=[{"id": 1, "name": "OK"}])))
    assert told(found)[1] == ("2.png", False, "good")
    assert any("1 annotation of class 'OK' is no defect" in note for note in found.notes)


def test_splits_of_roboflow_and_of_coco(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in (1, 2):
            photo(tmp_path / split / f"{number}.png", seed=number)
        write(tmp_path / split / "_annotations.coco.json", coco())
    write(tmp_path / "train" / "README.json", {"a": 1})
    found = read("coco", tmp_path)
    assert [s.id for s in found.train] == ["train/1.png", "train/2.png"]
    assert [s.id for s in found.test] == ["test/1.png", "test/2.png"]
    assert any("2 validation images are left out" in note for note in found.notes)

    other = tmp_path / "coco"
    for split in ("train2017", "val2017"):
        for number in (1, 2):
            photo(other / split / f"{number}.png", seed=number)
        write(other / "annotations" / f"instances_{split}.json", coco())
    write(other / "annotations" / "captions_val2017.json", {"images": [], "annotations": []})
    found = read("coco", other, category_from="folder")
    assert [s.id for s in found.test] == ["val2017/1.png", "val2017/2.png"] and found.test[0].category == "val2017"
    assert any("captions_val2017.json: not used" in note for note in found.notes)
    assert any("are scored, as there are no test images" in note for note in found.notes)


@pytest.mark.parametrize(("turned", "way"), [(6, "apply"), (6, "ignore"), (3, "apply"), (1, "ignore")])
def test_annotations_are_drawn_on_the_image_as_it_is_read(tmp_path: Path, turned: int, way: str) -> None:
    stored = (HEIGHT, WIDTH) if turned == 6 and way == "apply" else (WIDTH, HEIGHT)
    for number in (1, 2):
        photo(tmp_path / f"{number}.png", size=stored, turned=turned, seed=number)
    path = write(tmp_path / "a.json", coco())
    found = read("coco", path, exif_orientation=way)
    assert (truth(found.test[1]) == square()).all()
    if turned == 6:
        with pytest.raises(BenchmarkError, match=r"drawn on 10x8 .* is 8x10; its EXIF orientation is 6: perhaps"):
            read("coco", path, exif_orientation="ignore" if way == "apply" else "apply")


def test_annotations_of_another_size_are_stretched_only_when_said(folder: Path) -> None:
    half = [[1, 0.5, 3, 0.5, 3, 2.5, 1, 2.5]]
    images = [{"id": n, "file_name": f"{n}.png", "width": 5, "height": 4} for n in (1, 2)]
    path = write(folder / "a.json", coco(one_segmentation=half, images=images))
    with pytest.raises(BenchmarkError, match=r"drawn on 5x4 .*2\.png is 10x8; .*dataset\.annotations\.rescale=true"):
        read("coco", path)
    found = read("coco", path, annotations=settings(rescale=True))
    assert (truth(found.test[1]) == square()).all()
    assert any("stretched" in note for note in found.notes)
    runs = {"size": [4, 5], "counts": [5, 2, 2, 2, 9]}
    small = read("coco", write(path, coco(one_segmentation=runs, images=images)), annotations=settings(rescale=True))
    assert truth(small.test[1]).sum() == 16


def test_what_reaches_beyond_the_image_is_cut(folder: Path) -> None:
    found = read("coco", write(folder / "a.json", coco(one_segmentation=[[-3, -3, 4, -3, 4, 3, -3, 3]])))
    seen = truth(found.test[1])
    assert seen[:3, :4].all() and seen.sum() == 12
    assert any("reach beyond the image" in note for note in found.notes)
    huge = read("coco", write(folder / "b.json", coco(one_segmentation=[[-9e5, -9e5, 9e5, -9e5, 9e5, 9e5, -9e5, 9e5]])))
    assert truth(huge.test[1]).all()


def test_what_covers_no_pixel_is_told(folder: Path) -> None:
    found = read("coco", write(folder / "a.json", coco(one_segmentation=[[1, 1, 1.1, 1, 1.1, 1.1]])))
    assert not truth(found.test[1]).any()
    assert any("1 defective image has annotations that cover no pixel, the first is 2.png" in n for n in found.notes)


BAD_RUNS = {"size": [HEIGHT, WIDTH], "counts": "_" * 40}
WRONG: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "not JSON"),
    "a list": ([{"image_id": 1}], "as COCO writes predictions"),
    "another object": ({"a": 1}, "no list images"),
    "nested": ("[" * 100_000, "nested too deep"),
    "no images": (coco(images=[], annotations=[]), "no image is listed"),
    "annotations are no list": (coco(annotations={}), "annotations is no list"),
    "not there": (coco(images=[{"id": 2, "file_name": "9.png"}]), "9.png is not there"),
    "other suffix": (coco(images=[{"id": 2, "file_name": "2.jpg"}]), "did you mean '2.png'"),
    "outside": (coco(images=[{"id": 2, "file_name": "../2.png"}]), "does not lie below"),
    "a drive": (coco(images=[{"id": 2, "file_name": "C:\\data\\2.png"}]), "does not lie below"),
    "no name": (coco(images=[{"id": 2}]), "no image is named"),
    "same id": (
        coco(images=[{"id": 2, "file_name": f"{n}.png"} for n in (1, 2)]),
        "image 2: the id stands there twice",
    ),
    "same name": (coco(images=[{"id": n, "file_name": "2.png"} for n in (1, 2)]), "2.png stands there twice"),
    "no image of it": (coco(one_image_id=7), "annotation 1: there is no image 7"),
    "no category of it": (coco(one_category_id=7), "annotation 1: there is no category 7"),
    "no image id": (coco(one_image_id=...), "annotation 1: it has no 'image_id'"),
    "no place": (coco(one_segmentation=..., one_bbox=...), "annotation 1: it has no 'bbox'"),
    "two corners": (coco(one_segmentation=[[1, 1, 2, 2]]), "of three corners or more"),
    "odd": (coco(one_segmentation=[[1, 1, 2, 2, 3, 3, 4]]), "of three corners or more"),
    "NaN": (coco(one_segmentation=[[1, 1, 2, float("nan"), 3, 3]]), "its coordinate nan lies in no image"),
    "far": (coco(one_bbox=[1, 1, 1e300, 2], one_segmentation=[]), "lies in no image"),
    "text": (coco(one_segmentation=[["1", 1, 2, 2, 3, 3]]), "'1' is no number"),
    "outside the image": (coco(one_segmentation=[[20, 20, 30, 20, 30, 30]]), "lies outside the image, 10x8"),
    "no area": (coco(one_segmentation=[], one_bbox=[1, 1, 0, 3]), "covers nothing"),
    "cut off": (coco(one_segmentation={**BAD_RUNS, "counts": "o"}), "counts are cut off"),
    "endless": (coco(one_segmentation=BAD_RUNS), "no compressed run lengths"),
    "too few": (coco(one_segmentation={**BAD_RUNS, "counts": [3, 4]}), "do not add up to 8 x 10 pixels"),
    "negative": (coco(one_segmentation={**BAD_RUNS, "counts": [90, -10]}), "do not add up"),
    "other runs": (coco(one_segmentation={"size": [4, 5], "counts": [20]}), "its run lengths are of 5x4"),
    "huge runs": (coco(one_segmentation={"size": [10**9, 10**9], "counts": [10**18]}), "which no image has"),
    "a size of text": (coco(images=[{"id": 2, "file_name": "2.png", "width": "10", "height": 8}]), "none of an image"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_with_its_place(folder: Path, kind: str) -> None:
    content, said = WRONG[kind]
    path = write(folder / "a.json", content)
    with pytest.raises(BenchmarkError) as caught:
        read("coco", path)
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert ";" in str(caught.value) or ", or " in str(caught.value), "says no fix"


def test_a_table_is_told_how_tables_are_read(folder: Path) -> None:
    path = write(folder / "a.json", "image,label\n").rename(folder / "a.csv")
    with pytest.raises(BenchmarkError, match="a table is read by dataset=table"):
        read("coco", path)


def test_a_folder_without_annotations_and_no_path(folder: Path) -> None:
    for path, said in (
        (folder, "no COCO JSON file in it"),
        (None, "dataset.path="),
        (folder / "x.json", "no such file"),
    ):
        with pytest.raises(BenchmarkError, match=said):
            dataset("coco", path=path).manifest(folder)


def test_a_whole_run_equals_that_of_the_same_masks_in_a_table(folder: Path, tmp_path: Path) -> None:
    save(folder / "mask.png", square().astype(np.uint8) * 255)
    write(folder / "a.json", coco())
    write(folder / "a.csv", "image,label,mask\n1.png,0,\n2.png,1,mask.png\n")
    maps = folder / "maps"
    maps.mkdir()
    for number in (1, 2):
        np.save(maps / f"{number}.npy", np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH) * number)
    words = ("pipeline=saved", f"pipeline.path={maps}", "metric=standard")
    drawn = run(tmp_path, "dataset=coco", f"dataset.path={folder / 'a.json'}", *words).result
    stored = run(tmp_path, "dataset=table", f"dataset.path={folder / 'a.csv'}", *words).result
    values = [{m.metric: m.value for m in one.metrics if m.value is not None} for one in (drawn, stored)]
    assert values[0] == values[1] and {"ap", "aupro", "auroc", "image_auroc"} <= values[0].keys()
    assert drawn.dataset.categories == ["coco"]
