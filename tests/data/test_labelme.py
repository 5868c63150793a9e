"""Folders of labelme, and what is wrong with one named by its shape."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data.masks import load_truth
from tests.data.importer_files import HEIGHT, WIDTH, labelme, photo, read, shape, square, told, truth, write
from tests.data.test_coco import settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, the first with a JSON file without shapes."""
    for number in (1, 2):
        photo(tmp_path / f"{number}.png", seed=number)
    write(tmp_path / "1.json", labelme(image="1.png"))
    return tmp_path


def _png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


SHAPES: dict[str, tuple[dict[str, Any], int]] = {
    "polygon": (shape(), 16),
    "no type": ({key: value for key, value in shape().items() if key != "shape_type"}, 16),
    "rectangle": (shape("rectangle", [[6, 5], [2, 1]]), 16),
    "rectangle of four": (shape("rectangle"), 16),
    "circle": (shape("circle", [[4, 3], [6, 3]]), 12),
    "mask": (shape("mask", [[2, 1], [5, 4]], mask=_png(np.ones((4, 4)))), 16),
    "line": (shape("line", [[0.5, 3.5], [9.5, 3.5]]), 30),
    "point": (shape("point", [[4.5, 4.5]]), 13),
    "cut": (shape("polygon", [[-4, -4], [2, -4], [2, 2], [-4, 2]]), 4),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_every_shape_is_drawn(folder: Path, kind: str) -> None:
    one, pixels = SHAPES[kind]
    write(folder / "2.json", labelme(one))
    found = read("labelme", folder, annotations=settings(boxes="mask", line_width=3.0 if kind != "point" else 4.0))
    assert told(found) == [("1.png", False, "good"), ("2.png", True, "scratch")]
    assert truth(found.test[1]).sum() == pixels
    if kind not in ("circle", "line", "point", "cut"):
        assert (truth(found.test[1]) == square()).all()


@pytest.mark.parametrize(("kind", "said"), [("rectangle", "boxes=mask"), ("line", "line_width=3")])
def test_boxes_and_lines_are_labels_until_said_otherwise(folder: Path, kind: str, said: str) -> None:
    write(folder / "2.json", labelme(shape(kind, [[2, 1], [6, 5]])))
    found = read("labelme", folder)
    assert found.test[1].defective and found.test[1].drawing is None
    assert any(f"dataset.annotations.{said}" in note for note in found.notes)


def test_several_classes_and_one_that_is_ignored(folder: Path) -> None:
    ignored = shape(points=[[0, 0], [2, 0], [2, 2], [0, 2]], label="__ignore__")
    write(folder / "2.json", labelme(shape(), shape(label="dent"), shape(label="_background_"), ignored))
    found = read("labelme", folder)
    seen = load_truth(found.test[1], shape=(HEIGHT, WIDTH))
    assert found.test[1].defect_type == "dent+scratch"
    assert seen.mask.sum() == 16 and seen.ignore is not None and seen.ignore.sum() == 4


def test_windows_paths_embedded_images_and_folders(tmp_path: Path) -> None:
    for place in ("train/ring", "test/ring"):
        photo(tmp_path / place / "a b.png")
    data = base64.b64encode((tmp_path / "test/ring/a b.png").read_bytes()).decode()
    for place in ("train", "test"):
        content = labelme(
            shape(), image=f"..\\{place}\\ring\\a b.png", imageData=data, imageWidth=None, imageHeight=None
        )
        write(tmp_path / "json" / f"{place}.json", content, encoding="utf-8-sig")
    found = read("labelme", tmp_path, category_from="folder")
    assert [s.id for s in found.train] == ["train/ring/a b.png"] and found.test[0].category == "ring"
    assert (truth(found.test[0]) == square()).all()


def test_images_without_a_file(folder: Path) -> None:
    write(folder / "2.json", labelme(shape()))
    photo(folder / "3.png")
    with pytest.raises(BenchmarkError, match=r"3\.png: 1 image has no JSON file.*dataset.unannotated=good"):
        read("labelme", folder)
    assert len(told(read("labelme", folder, unannotated="good"))) == 3
    found = read("labelme", folder, unannotated="leave_out")
    assert len(told(found)) == 2 and any("1 image without a JSON file is left out" in note for note in found.notes)


def test_shapes_are_drawn_on_the_upright_image(tmp_path: Path) -> None:
    photo(tmp_path / "2.png", size=(HEIGHT, WIDTH), turned=8)
    write(tmp_path / "2.json", labelme(shape()))
    assert (truth(read("labelme", tmp_path).test[0]) == square()).all()
    with pytest.raises(BenchmarkError, match=r"perhaps dataset\.exif_orientation=apply"):
        read("labelme", tmp_path, exif_orientation="ignore")


WRONG: dict[str, tuple[Any, str]] = {
    "not JSON": ("{'a': 1}", "not JSON"),
    "other type": (labelme(shape("spline")), "shape 1: a 'spline' of 4 points is none of: polygon"),
    "two points": (labelme(shape(points=[[1, 1], [2, 2]])), "shape 1: a 'polygon' of 2 points"),
    "three numbers": (labelme(shape(points=[[1, 1, 1]])), "a point is not [x, y]"),
    "no points": (labelme({"label": "x"}), "shape 1: it has no 'points'"),
    "NaN": (labelme(shape(points=[[float("nan"), 1], [2, 2], [3, 3]])), "its coordinate nan"),
    "a circle of nothing": (labelme(shape("circle", [[1, 1], [1, 1]])), "no radius"),
    "no base64": (labelme(shape("mask", [[2, 1], [5, 4]], mask="§")), "its mask is no base64 text"),
    "no PNG": (labelme(shape("mask", [[2, 1], [5, 4]], mask="aGFsbG8=")), "not an image"),
    "a mask beyond": (labelme(shape("mask", [[8, 1], [12, 4]], mask=_png(np.ones((4, 4))))), "beyond the image"),
    "outside": (labelme(shape(points=[[20, 20], [30, 20], [30, 30]])), "lies outside the image, 10x8"),
    "other size": (labelme(shape(), imageWidth=20), "drawn on 20x8 (width x height), but 2.png is 10x8"),
    "a size of text": (labelme(shape(), imageWidth="10"), "are none of an image"),
    "image elsewhere": (labelme(shape(), image="9.png"), "9.png is not there"),
    "embedded alone": (labelme(shape(), image="9.png", imageData="aGFsbG8="), "(imageData) is not read"),
    "leads out": (labelme(shape(), image="../../2.png"), "does not lie below"),
    "twice": (labelme(shape(), image="1.png"), "1.png stands there twice"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_with_its_place(folder: Path, kind: str) -> None:
    content, said = WRONG[kind]
    path = write(folder / "2.json", content)
    with pytest.raises(BenchmarkError) as caught:
        read("labelme", folder, unannotated="leave_out", annotations=settings(boxes="mask"))
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_folders_without_annotations(tmp_path: Path) -> None:
    photo(tmp_path / "1.png")
    with pytest.raises(BenchmarkError, match="no JSON file of labelme in it or below"):
        read("labelme", tmp_path)
    with pytest.raises(BenchmarkError, match="no such folder; give the folder of labelme's JSON files"):
        read("labelme", tmp_path / "x")


def test_a_folder_that_begins_like_a_split_is_none(tmp_path: Path) -> None:
    photo(tmp_path / "train_station" / "2.png")
    write(tmp_path / "train_station" / "2.json", labelme(shape()))
    assert [s.split for s in read("labelme", tmp_path).samples] == ["test"]
