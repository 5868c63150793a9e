"""YOLO folders as tools leave them, and what is wrong with one named by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import BenchmarkError
from tests.data.importer_files import HEIGHT, WIDTH, photo, read, square, told, truth, write
from tests.data.test_coco import settings

BOX = "0 0.4 0.375 0.4 0.5\n"
OUTLINE = "0 0.2 0.125 0.6 0.125 0.6 0.625 0.2 0.625\n"
"""The square of the other tests, as a box and as an outline."""
YAML = "path: .\ntrain: images/train\nval: images/val\nnames: [scratch, dent]\n"


def build(root: Path, *, images: str = "images", labels: str = "labels", text: str | None = OUTLINE) -> Path:
    """Two images, the second with a label file."""
    for number in (1, 2):
        photo(root / images / f"{number}.png", seed=number)
    if text is not None:
        write(root / labels / "2.txt", text)
    return root


PLACES: dict[str, tuple[str, str]] = {
    "images and labels": ("images", "labels"),
    "upper case": ("Images", "Labels"),
    "one folder": ("", ""),
    "a split": ("images/val", "labels/val"),
    "Roboflow": ("test/images", "test/labels"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_every_place_of_labels_is_found(tmp_path: Path, kind: str) -> None:
    images, labels = PLACES[kind]
    found = read("yolo", build(tmp_path, images=images, labels=labels))
    prefix = f"{images}/" if images else ""
    assert told(found) == [(f"{prefix}1.png", False, "good"), (f"{prefix}2.png", True, "class 0")]
    assert (truth(found.test[1]) == square()).all()


TEXTS: dict[str, tuple[str, int]] = {
    "outline": (OUTLINE, 16),
    "byte-order mark": ("\ufeff" + OUTLINE, 16),
    "Windows": (OUTLINE.replace("\n", "\r\n"), 16),
    "no newline, decimals of a class": (OUTLINE.strip().replace("0 ", "0.0 ", 1), 16),
    "two lines and an empty one": (OUTLINE + "\n1 0 0 0.2 0 0.2 0.25 0 0.25\n", 20),
    "rounded beyond the border": ("0 -0.001 0 0.2 0 0.2 0.25 -0.001 0.25", 4),
    "oriented box": ("0 0.2 0.125 0.6 0.125 0.6 0.625 0.2 0.625 ", 16),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_label_of_this_kind_is_read(tmp_path: Path, kind: str) -> None:
    text, pixels = TEXTS[kind]
    assert truth(read("yolo", build(tmp_path, text=text)).test[1]).sum() == pixels


def test_boxes_are_labels_until_they_are_said_to_be_masks(tmp_path: Path) -> None:
    found = read("yolo", build(tmp_path, text=BOX))
    assert found.test[1].defective and found.test[1].drawing is None
    assert any("dataset.annotations.boxes=mask" in note for note in found.notes)
    masked = read("yolo", tmp_path, annotations=settings(boxes="mask"))
    assert (truth(masked.test[1]) == square()).all()


def test_empty_files_and_missing_ones_are_good_images(tmp_path: Path) -> None:
    write(build(tmp_path) / "labels" / "1.txt", "\n")
    photo(tmp_path / "images" / "3.jpg", seed=3)
    assert [label for _, label, _ in told(read("yolo", tmp_path))] == [False, True, False]
    with pytest.raises(BenchmarkError, match=r"1 image has no label file; .*dataset\.unannotated=good"):
        read("yolo", tmp_path, unannotated="refuse")


def test_names_and_splits_of_a_yaml_file(tmp_path: Path) -> None:
    for split in ("train", "val"):
        build(tmp_path, images=f"images/{split}", labels=f"labels/{split}")
    path = write(tmp_path / "data.yaml", YAML)
    for given in (path, tmp_path):
        found = read("yolo", given)
        assert [s.id for s in found.train] == ["images/train/1.png", "images/train/2.png"]
        assert told(found)[1] == ("images/val/2.png", True, "scratch")
    write(path, "train: ../images/train\nval: [../images/val]\ntest: ../images/test\nnames: {0: cut, 1: dent}\n")
    assert told(read("yolo", path))[1] == ("images/val/2.png", True, "cut")
    write(tmp_path / "val.txt", "./images/val/1.png\n./images/val/2.png\n")
    write(path, "path: /another/machine\nval: val.txt\n")
    write(tmp_path / "classes.txt", "hole\n")
    assert told(read("yolo", path))[1] == ("images/val/2.png", True, "hole")


def test_labels_are_drawn_on_the_upright_image(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "2.jpg", size=(HEIGHT, WIDTH), turned=6)
    write(tmp_path / "labels" / "2.txt", OUTLINE)
    seen = truth(read("yolo", tmp_path).test[0])
    assert (seen == square()).all()
    assert truth(read("yolo", tmp_path, exif_orientation="ignore").test[0]).shape == (WIDTH, HEIGHT)


LINES: dict[str, tuple[str, str]] = {
    "pixels": ("0 20 10 40 30", "not shares of width and height"),
    "a confidence": ("0 0.5 0.5 0.1 0.1 0.9", "a prediction, not a label"),
    "odd": ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "neither class x y width height"),
    "two corners": ("0 0.5 0.5", "neither class x y width height"),
    "class alone": ("0", "neither class x y width height"),
    "commas": ("0,0.5,0.5,0.1,0.1", "something else than numbers"),
    "decimal commas": ("0 0,5 0,5 0,1 0,1", "something else than numbers"),
    "a name": ("scratch 0.5 0.5 0.1 0.1", "something else than numbers"),
    "NaN": ("0 nan 0.5 0.1 0.1", "its coordinate nan lies in no image"),
    "half a class": ("0.5 0.5 0.5 0.1 0.1", "there is no class 0.5"),
    "class below 0": ("-1 0.5 0.5 0.1 0.1", "there is no class -1"),
    "class beyond": ("7 0.5 0.5 0.1 0.1", "there is no class 7; classes go from 0 to 1"),
    "no area": ("0 0.5 0.5 0 0.1", "covers nothing"),
}


@pytest.mark.parametrize("kind", LINES)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, kind: str) -> None:
    text, said = LINES[kind]
    write(build(tmp_path, text=f"{OUTLINE}{text}\n") / "classes.txt", "scratch\ndent\n")
    with pytest.raises(BenchmarkError) as caught:
        read("yolo", tmp_path)
    assert said in str(caught.value) and f"{tmp_path / 'labels' / '2.txt'}, line 2: " in str(caught.value)
    assert "correct it, or remove the line" in str(caught.value)


def _stray(root: Path) -> None:
    write(root / "labels" / "9.txt", OUTLINE)


def _no_labels(root: Path) -> None:
    (root / "labels" / "2.txt").unlink()


def _twins(root: Path) -> None:
    photo(root / "images" / "2.jpg")


def _latin(root: Path) -> None:
    (root / "labels" / "2.txt").write_bytes(b"0 0.5 0.5 0.1 0.1 # \xe9")


def _no_entries(root: Path) -> None:
    write(root / "data.yaml", "names: [a]\n")


def _nowhere(root: Path) -> None:
    write(root / "data.yaml", "val: images/nowhere\nnames: [a]\n")


def _odd_names(root: Path) -> None:
    write(root / "data.yaml", "val: images\nnames: scratch\n")


def _elsewhere(root: Path) -> None:
    photo(root.parent / "elsewhere" / "images" / "1.png")
    write(root / "data.yaml", f"val: {root.parent / 'elsewhere' / 'images'}\nnames: [a]\n")


def _empty(root: Path) -> None:
    for file in (root / "images").iterdir():
        file.unlink()


FOLDERS: dict[str, tuple[Any, str]] = {
    "labels without image": (_stray, "9.txt: labels without an image"),
    "no label at all": (_no_labels, r"no label file at all; that of images/1.png is looked for at labels/1.txt"),
    "one stem twice": (_twins, "have the same label file labels/2.txt; rename one"),
    "no UTF-8": (_latin, "2.txt: not UTF-8 at byte"),
    "no splits": (_no_entries, "data.yaml: names no images; write train:"),
    "no such folder": (_nowhere, "data.yaml, val: images/nowhere is not there; correct it"),
    "names of text": (_odd_names, "data.yaml: names is neither a list nor"),
    "outside": (_elsewhere, "does not lie below"),
    "no image": (_empty, "no image in it; they lie in images/"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path, kind: str) -> None:
    change, said = FOLDERS[kind]
    change(build(tmp_path / "data"))
    with pytest.raises(BenchmarkError) as caught:
        read("yolo", tmp_path / "data")
    assert said in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("path", "said"), [("x", "no such file or folder"), ("a.csv", "neither a folder nor a YAML")])
def test_another_path(tmp_path: Path, path: str, said: str) -> None:
    write(build(tmp_path) / "a.csv", "")
    with pytest.raises(BenchmarkError, match=said):
        read("yolo", tmp_path / path)
