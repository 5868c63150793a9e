"""Masks of class numbers, and what is wrong with one named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset, save
from tests.data.importer_files import HEIGHT, WIDTH, photo, read, told, truth

LEVELS = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
LEVELS[1:5, 2:6], LEVELS[6], LEVELS[7] = 3, 1, 255
"""Sixteen pixels of class 3, a row of class 1 and one that is ignored."""


def build(root: Path, levels: np.ndarray = LEVELS, *, images: str = "images", masks: str = "masks") -> Path:
    """Two images, the first with a mask of zeros."""
    for number, mask in ((1, np.zeros_like(levels)), (2, levels)):
        photo(root / images / f"{number}.jpg", seed=number)
        save(root / masks / f"{number}.png", mask)
    return root


def test_numbers_that_are_defects_and_those_that_are_ignored(tmp_path: Path) -> None:
    found = read("class_masks", build(tmp_path), defect_ids=[3], class_names={"3": "scratch"})
    assert told(found) == [("images/1.jpg", False, "good"), ("images/2.jpg", True, "scratch")]
    seen = load_truth(found.test[1], shape=(HEIGHT, WIDTH))
    assert seen.mask.sum() == 16 and seen.ignore is not None and seen.ignore[7].all() and seen.ignore.sum() == WIDTH
    assert any("numbers in the masks: 0 in 2, 1 in 1, 3 in 1, 255 in 1" in note for note in found.notes)
    other = read("class_masks", tmp_path)
    assert told(other)[1] == ("images/2.jpg", True, "class 1+class 3") and truth(other.test[1]).sum() == 26
    assert other.fingerprint != found.fingerprint
    assert not read("class_masks", tmp_path, defect_ids=[1, 3], ignore_ids=[1, 3, 255]).test[0].defective


def test_palettes_one_bit_and_sixteen_bits_hold_numbers(tmp_path: Path) -> None:
    build(tmp_path)
    palette = Image.fromarray(LEVELS).convert("P")
    palette.putdata(LEVELS.ravel())
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "masks" / "2.png")
    assert truth(read("class_masks", tmp_path, defect_ids=[3]).test[1]).sum() == 16
    save(tmp_path / "masks" / "2.png", LEVELS.astype(np.uint16))
    assert truth(read("class_masks", tmp_path, defect_ids=[3]).test[1]).sum() == 16
    Image.fromarray(LEVELS == 3).save(tmp_path / "masks" / "2.png")
    assert truth(read("class_masks", tmp_path).test[1]).sum() == 16


def test_folders_suffixes_and_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        build(tmp_path, images=f"JPEGImages/{split}", masks=f"SegmentationClass/{split}")
    file = tmp_path / "SegmentationClass" / "val" / "2.png"
    file.rename(file.with_name("2_labelIds.png"))
    found = read("class_masks", tmp_path, images="JPEGImages", masks="SegmentationClass", category_from="folder")
    assert [s.id for s in found.train] == ["JPEGImages/train/1.jpg", "JPEGImages/train/2.jpg"]
    assert found.test[1].defective and found.test[1].category == "val"


def _colours(root: Path) -> None:
    save(root / "masks" / "2.png", np.dstack([LEVELS] * 3))


def _instances(root: Path) -> None:
    save(root / "masks" / "2.png", LEVELS.astype(np.uint16) * 200)


def _other_size(root: Path) -> None:
    save(root / "masks" / "2.png", LEVELS[:4])


def _no_mask(root: Path) -> None:
    (root / "masks" / "1.png").unlink()


def _no_image(root: Path) -> None:
    (root / "images" / "1.jpg").unlink()


def _twins(root: Path) -> None:
    photo(root / "images" / "2.png")


def _binary(root: Path) -> None:
    save(root / "masks" / "2.png", (LEVELS == 3).astype(np.uint8) * 255)


def _renamed(root: Path) -> None:
    (root / "masks").rename(root / "annotations")


def _empty(root: Path) -> None:
    for file in [*(root / "images").iterdir(), *(root / "masks").iterdir()]:
        file.unlink()


WRONG: dict[str, tuple[Any, str]] = {
    "colours": (_colours, "2.png: a class_ids mask is a one-channel image, this one is RGB; save the numbers"),
    "instances": (_instances, "2.png: holds the number 51000; classes go from 0 to 255"),
    "size": (_other_size, "2.png: the mask is 10x4 (width x height)"),
    "no mask": (_no_mask, "1.jpg: an image without mask; put its mask at"),
    "no image": (_no_image, "1.png: a mask without image; put its image into"),
    "one stem twice": (_twins, "have the same stem '2'; keep one of them"),
    "0 and 255": (_binary, "no mask holds a defect, but 1 hold 255, which is ignored; give dataset.ignore_ids=[]"),
    "another folder": (_renamed, "masks: no such folder (there is: annotations, images); give dataset.masks="),
    "no image at all": (_empty, "no image in it or in its folders; give dataset.images="),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, kind: str) -> None:
    change, said = WRONG[kind]
    change(build(tmp_path))
    with pytest.raises(BenchmarkError) as caught:
        read("class_masks", tmp_path)
    assert said in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_number_that_never_occurs(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no mask holds 7; they hold: 0 in 2, 1 in 1, 3 in 1, 255 in 1"):
        read("class_masks", build(tmp_path), defect_ids=[7])
    with pytest.raises(BenchmarkError, match=r"dataset=class_masks dataset\.path="):
        dataset("class_masks").manifest(tmp_path)
