"""Magnetic Tile Defects: labels by folder and by mask, exposures of one tile, size order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.data.images import load_image
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset, save

EMPTY = {"exp3_num_45042", "exp4_num_124690", "exp4_num_352527", "exp4_num_45057"}


def tile(root: Path, folder: str, exposure: int, number: int, *, level: int) -> None:
    stem = root / "mtd" / folder / "Imgs" / f"exp{exposure}_num_{number}"
    random = np.random.default_rng(number)
    save(stem.with_suffix(".jpg"), random.integers(0, 255, (7, 4), dtype=np.uint8))
    save(stem.with_suffix(".png"), np.full((7, 4), level, np.uint8))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tile(tmp_path, "MT_Free", 1, 10, level=0)
    tile(tmp_path, "MT_Uneven", 2, 12, level=90)
    tile(tmp_path, "MT_Uneven", 4, 13, level=0)
    tile(tmp_path, "MT_Free", 1, 20, level=0)
    tile(tmp_path, "MT_Crack", 1, 30, level=200)
    return tmp_path


def test_partial_data_are_refused_and_told(tree: Path) -> None:
    with pytest.raises(DataError, match=r"MT_Crack / all / defective: 1 of 57 \(56 missing\).*allow_partial=true"):
        dataset("mtd").manifest(tree)
    manifest = dataset("mtd", allow_partial=True).manifest(tree)
    assert manifest.expected_test == 1344
    assert "partial data: " in manifest.notes[0]


def test_label_by_folder_or_mask(tree: Path) -> None:
    by_folder = dataset("mtd", allow_partial=True).manifest(tree)
    assert sum(s.defective for s in by_folder.test) == 3
    assert any("empty mask" in note and "exp4_num_13" in note for note in by_folder.notes)
    by_mask = dataset("mtd", allow_partial=True, label_from="mask").manifest(tree)
    assert sum(s.defective for s in by_mask.test) == 2
    relabelled = next(s for s in by_mask.test if s.id.endswith("exp4_num_13.jpg"))
    assert (relabelled.defective, relabelled.defect_type, relabelled.mask) == (False, "good", None)


def test_exposures_of_one_tile_are_one_group(tree: Path) -> None:
    samples = dataset("mtd", allow_partial=True).manifest(tree).samples
    groups = {Path(s.id).stem: s.group for s in samples}
    assert groups["exp1_num_10"] == groups["exp2_num_12"] == groups["exp4_num_13"]
    assert len(set(groups.values())) == 3


def test_category_unit(tree: Path) -> None:
    assert dataset("mtd", allow_partial=True).manifest(tree).categories == ("mtd",)
    by_folder = dataset("mtd", allow_partial=True, unit="category").manifest(tree)
    assert by_folder.categories == ("MT_Crack", "MT_Free", "MT_Uneven")


def test_marked_good_image_and_bad_name(tree: Path) -> None:
    tile(tree, "MT_Free", 1, 40, level=1)
    with pytest.raises(DataError, match=r"exp1_num_40\.jpg: a good image whose mask marks a defect"):
        dataset("mtd", allow_partial=True).manifest(tree)
    save(tree / "mtd/MT_Free/Imgs/tile7.jpg", np.zeros((7, 4), np.uint8))
    save(tree / "mtd/MT_Free/Imgs/tile7.png", np.zeros((7, 4), np.uint8))
    with pytest.raises(DataError, match=r"tile7\.jpg: not named exp"):
        dataset("mtd", allow_partial=True).manifest(tree)


@pytest.mark.realdata
def test_real_counts(real_data: Path) -> None:
    manifest = dataset("mtd").manifest(real_data)
    assert Counter(s.defective for s in manifest.test) == {False: 952, True: 392}
    assert manifest.expected_test == len(manifest.test) == 1344
    assert {s.group for s in manifest.test} == {s.group for s in manifest.samples}
    assert len({s.group for s in manifest.test}) == 251
    group_of = {int(s.id.rsplit("_", 1)[1][:-4]): s.group for s in manifest.test}
    assert len({group_of[n] for n in (24793, 24815, 24829, 24843, 24876, 25007)}) == 1
    by_mask = dataset("mtd", label_from="mask").manifest(real_data)
    assert Counter(s.defective for s in by_mask.test) == {False: 956, True: 388}
    moved = {a.id for a, b in zip(manifest.test, by_mask.test, strict=True) if a.defective != b.defective}
    assert {Path(name).stem for name in moved} == EMPTY


@pytest.mark.realdata
def test_real_masks_of_cracks(real_data: Path) -> None:
    cracks = dataset("mtd", categories=["MT_Crack"]).manifest(real_data).test
    pixels = Counter[int]()
    for sample in cracks:
        shape = load_image(sample.image).shape[:2]
        for threshold in (0, 128):
            pixels[threshold] += int(load_truth(sample, shape=shape, threshold=threshold).mask.sum())
    assert pixels == {0: 36672, 128: 24725}
