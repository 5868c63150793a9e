"""Folders in MVTec layout: what is read, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, DataError
from tests.data.dataset_trees import dataset, mvtec_tree, save


def test_a_users_folder_is_read(tmp_path: Path) -> None:
    mvtec_tree(tmp_path / "mine", category="b")
    mvtec_tree(tmp_path / "mine", category="a", good=1)
    manifest = dataset("folder", path=str(tmp_path / "mine")).manifest(tmp_path)
    assert manifest.categories == ("a", "b")
    assert (len(manifest.train), len(manifest.test)) == (6, 7)
    assert manifest.expected_test is None
    first = next(s for s in manifest.samples if s.defective)
    assert first.id == "a/test/scratch/000.png"
    assert first.mask == tmp_path / "mine/a/ground_truth/scratch/000_mask.png"
    assert (first.defect_type, first.group, len(first.sha256)) == ("scratch", first.id, 64)


def test_one_category_alone_is_read(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path, category="gear")
    manifest = dataset("folder", path=str(folder)).manifest(tmp_path)
    assert manifest.categories == ("gear",)
    assert manifest.test[0].image.is_file()


def test_masks_without_suffix_and_in_another_format(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    for mask in (folder / "ground_truth" / "scratch").iterdir():
        mask.rename(mask.with_name(mask.name.replace("_mask", "")))
    assert len(dataset("folder", path=str(tmp_path)).manifest(tmp_path).test) == 4


def test_junk_is_skipped(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    for junk in ("test/good/._000.png", "ground_truth/scratch/._000_mask.png", "test/good/Thumbs.db", "readme.txt"):
        (folder / junk).write_bytes(b"junk")
    save(tmp_path / "__MACOSX" / "test" / "good" / "._000.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "__MACOSX" / "train").mkdir()
    manifest = dataset("folder", path=str(tmp_path)).manifest(tmp_path)
    assert manifest.categories == ("part",)
    assert len(manifest.samples) == 7


def test_pairing_is_by_name_not_by_position(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path, defective=3)
    (folder / "ground_truth/scratch/001_mask.png").unlink()
    with pytest.raises(DataError, match=r"scratch/001\.png: an image without mask; put its mask at .*001_mask"):
        dataset("folder", path=str(tmp_path), masks="required").manifest(tmp_path)


def test_mask_without_image(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    (folder / "test/scratch/001.png").unlink()
    with pytest.raises(DataError, match=r"001_mask\.png: a mask without image"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_masks_of_a_kind_that_has_no_images(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    save(folder / "ground_truth/dent/000_mask.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"dent/000_mask\.png: a mask without image"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_mask_of_another_size(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    save(folder / "ground_truth/scratch/001_mask.png", np.zeros((8, 6), np.uint8))
    with pytest.raises(DataError, match=r"001_mask\.png: the mask is 6x8 .*scratch/001\.png is 8x6"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_two_files_of_one_stem(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    save(folder / "test/scratch/001.bmp", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"001\.bmp and 001\.png have the same stem"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_defect_folder_without_masks_names_both_ways_out(tmp_path: Path) -> None:
    save(tmp_path / "part/test/ok/000.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"no .*ground_truth/ok .*dataset\.good_names=\[ok\]"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)
    assert len(dataset("folder", path=str(tmp_path), good_names=["ok"]).manifest(tmp_path).test) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [(b"", r"000\.png: not an image"), (b"\x89PNG\r\n\x1a\n0000", r"000\.png: (truncated|not an image)")],
)
def test_damaged_image(tmp_path: Path, damage: bytes, message: str) -> None:
    (mvtec_tree(tmp_path) / "test/good/000.png").write_bytes(damage)
    with pytest.raises(DataError, match=message):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_empty_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image of dataset folder"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)
    (mvtec_tree(tmp_path) / "test/dent").mkdir()
    with pytest.raises(DataError, match=r"test/dent: no image in it"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_train_images_only(tmp_path: Path) -> None:
    save(tmp_path / "part/train/good/000.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match="train images only"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_defects_in_train(tmp_path: Path) -> None:
    save(mvtec_tree(tmp_path) / "train/scratch/000.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"train/scratch: train holds good images only"):
        dataset("folder", path=str(tmp_path)).manifest(tmp_path)


def test_missing_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.path"):
        dataset("folder").manifest(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        dataset("folder", path=str(tmp_path / "nowhere")).manifest(tmp_path)
    with pytest.raises(DataError) as caught:
        dataset("folder", path=str(tmp_path / "nowhere")).manifest(tmp_path)
    assert "dataset.path=<folder>" in str(caught.value) and "make data" not in str(caught.value)
    with pytest.raises(DataError, match=r"gone: the data root is no folder; set run\.data_root"):
        dataset("mtd").manifest(tmp_path / "gone")
    with pytest.raises(DataError, match=r"mtd: no such folder.*make data DATASET=mtd"):
        dataset("mtd").manifest(tmp_path)


def test_categories_are_selected_in_order_of_the_data(tmp_path: Path) -> None:
    for category in ("c10", "c2", "c1"):
        mvtec_tree(tmp_path, category=category)
    chosen = dataset("folder", path=str(tmp_path), categories=["c10", "c2"]).manifest(tmp_path)
    assert chosen.categories == ("c2", "c10")
    with pytest.raises(ConfigError, match=r"no category 'part'; known: c1, c10, c2"):
        dataset("folder", path=str(tmp_path), categories=["part"]).manifest(tmp_path)


def test_good_images_can_be_left_out(tmp_path: Path) -> None:
    mvtec_tree(tmp_path)
    manifest = dataset("folder", path=str(tmp_path), include_good=False).manifest(tmp_path)
    assert all(s.defective for s in manifest.test)
    assert len(manifest.train) == 3


def test_unit_dataset_is_one_category(tmp_path: Path) -> None:
    mvtec_tree(tmp_path)
    assert dataset("folder", path=str(tmp_path), unit="dataset").manifest(tmp_path).categories == ("folder",)


def test_a_category_that_is_not_scored_is_noted(tmp_path: Path) -> None:
    mvtec_tree(tmp_path, category="a")
    misspelt = mvtec_tree(tmp_path, category="b")
    (misspelt / "test").rename(misspelt / "Tests")
    note = "b: there is no folder test in it, so nothing of it is scored"
    assert dataset("folder", path=str(tmp_path)).manifest(tmp_path).notes == (note,)
    assert dataset("folder", path=str(tmp_path), name="bolts").manifest(tmp_path).notes == (note,)
    assert dataset("folder", path=str(tmp_path), categories=["a"]).manifest(tmp_path).notes == ()


def test_an_empty_mask_of_a_defective_image_is_noted(tmp_path: Path) -> None:
    folder = mvtec_tree(tmp_path)
    save(folder / "ground_truth/scratch/001_mask.png", np.zeros((6, 8), np.uint8))
    (note,) = dataset("folder", path=str(tmp_path)).manifest(tmp_path).notes
    assert note == "1 defective image has an all-zero mask, the first is part/test/scratch/001.png"
