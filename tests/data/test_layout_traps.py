"""What goes wrong in single layouts, each with the message that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Manifest
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import Linker, dataset, save

GREY = np.full((2, 3), 40, np.uint8)
WHITE = np.full((2, 3), 255, np.uint8)


def index(name: str, data_root: Path, **changes: object) -> Manifest:
    return dataset(name, allow_partial=True, **{"subset": None, **changes}).manifest(data_root)


@pytest.fixture
def dagm(tmp_path: Path) -> Path:
    for split in ("Train", "Test"):
        folder = tmp_path / "dagm" / "Class1" / split
        save(folder / "0001.PNG", GREY)
        save(folder / "0002.PNG", GREY)
        save(folder / "Label" / "0002_label.PNG", WHITE)
        lines = "1\n1\t0\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"
        (folder / "Label" / "Labels.txt").write_text(lines)
    return tmp_path


def test_dagm_numbers_repeat_in_train_and_test(dagm: Path) -> None:
    manifest = index("dagm", dagm, split="all")
    assert [s.id for s in manifest.test if s.defective] == ["Class1/Train/0002.PNG", "Class1/Test/0002.PNG"]
    assert len({s.id for s in manifest.samples}) == 4


def test_dagm_label_image_and_list_must_agree(dagm: Path) -> None:
    (dagm / "dagm/Class1/Test/Label/0002_label.PNG").unlink()
    with pytest.raises(DataError, match=r"Labels\.txt: 0002\.PNG is defective, but there is no label image"):
        index("dagm", dagm)
    save(dagm / "dagm/Class1/Test/Label/0002_label.PNG", WHITE)
    save(dagm / "dagm/Class1/Test/Label/0001_label.PNG", WHITE)
    with pytest.raises(DataError, match=r"Labels\.txt: 0001\.PNG is good, but there is a label image"):
        index("dagm", dagm)


def test_dagm_label_without_image(dagm: Path) -> None:
    (dagm / "dagm/Class1/Test/0002.PNG").unlink()
    with pytest.raises(DataError, match=r"0002_label\.PNG: a mask without image"):
        index("dagm", dagm)


def test_dagm_defects_only_keeps_good_train_images_for_reference(dagm: Path) -> None:
    manifest = index("dagm", dagm, split="all", include_good=False)
    assert [s.id for s in manifest.test] == ["Class1/Train/0002.PNG", "Class1/Test/0002.PNG"]
    assert [s.id for s in manifest.train] == ["Class1/Train/0001.PNG"]


@pytest.fixture
def visa(tmp_path: Path) -> Path:
    root = tmp_path / "visa"
    save(root / "candle/Data/Images/Normal/0000.JPG", GREY)
    save(root / "candle/Data/Images/Anomaly/000.JPG", GREY)
    ids = np.zeros((2, 3), np.uint8)
    ids[0] = (0, 1, 4)
    save(root / "candle/Data/Masks/Anomaly/000.png", ids)
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text(
        "object,split,label,image,mask\n"
        "candle,test,normal,candle/Data/Images/Normal/0000.JPG,\n"
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
        "candle,train,normal,candle/Data/Images/Normal/0001.JPG,\n"
    )
    return tmp_path


def test_visa_masks_hold_small_class_ids(visa: Path) -> None:
    manifest = index("visa", visa)
    (defective,) = [s for s in manifest.test if s.defective]
    for threshold in (0, 128):
        truth = load_truth(defective, shape=(2, 3), threshold=threshold)
        assert truth.mask.tolist() == [[False, True, True], [False, False, False]]
    assert any(
        "1 image of 1cls.csv is not there, candle/Data/Images/Normal/0001.JPG first" in n for n in manifest.notes
    )


def test_visa_needs_its_masks_and_split_file(visa: Path) -> None:
    with pytest.raises(DataError, match=r"2cls_fewshot\.csv: no such file"):
        index("visa", visa, split_file="2cls_fewshot")
    (visa / "visa/candle/Data/Masks/Anomaly/000.png").unlink()
    with pytest.raises(DataError, match=r"000\.JPG: an image without mask"):
        index("visa", visa)
    (visa / "visa/split_csv/1cls.csv").write_text("object,split,image,mask\n")
    with pytest.raises(DataError, match=r"1cls\.csv: no column 'label'"):
        index("visa", visa)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    trimap = np.array([[1, 2, 3], [1, 2, 2]], np.uint8)
    for name in ("Abyssinian_1", "pug_1", "pug_2"):
        save(root / "images" / f"{name}.jpg", GREY)
        save(root / "annotations" / "trimaps" / f"{name}.png", trimap)
    (root / "annotations" / "list.txt").write_text("Abyssinian_1 1 1 1\npug_1 26 2 1\npug_3 26 2 1\n")
    (root / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\n")
    (root / "annotations" / "test.txt").write_text("pug_1 26 2 1\npug_3 26 2 1\n")
    return tmp_path


def test_pets_follow_the_list_without_header_too(pets: Path) -> None:
    manifest = index("pets", pets, split="official", unit="category")
    assert [(s.id, s.defective, s.split, s.category) for s in manifest.samples] == [
        ("images/Abyssinian_1.jpg", True, "train", "Abyssinian"),
        ("images/pug_1.jpg", False, "test", "pug"),
    ]
    assert any("1 listed image is not there: pug_3.jpg" in note for note in manifest.notes)
    assert any("1 image is in no list and left out: pug_2.jpg" in note for note in manifest.notes)


def test_pets_dogs_have_no_truth(pets: Path) -> None:
    dog = next(s for s in index("pets", pets).test if not s.defective)
    assert not load_truth(dog, shape=(2, 3)).mask.any()


def test_pets_species_and_name_must_agree(pets: Path) -> None:
    (pets / "pets/annotations/list.txt").write_text("Abyssinian_1 1 2 1\n")
    with pytest.raises(DataError, match=r"list\.txt: the line of 'Abyssinian_1' does not say what its name says"):
        index("pets", pets)


def test_pets_need_lists_and_trimaps(pets: Path) -> None:
    (pets / "pets/annotations/trimaps/Abyssinian_1.png").unlink()
    with pytest.raises(DataError, match=r"Abyssinian_1\.jpg: an image without mask; its trimap is .*Abyssinian_1\.png"):
        index("pets", pets)
    (pets / "pets/annotations/list.txt").unlink()
    with pytest.raises(DataError, match=r"list\.txt: no such file"):
        index("pets", pets)


def test_ksdd2_labels_come_from_masks(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, mask in ((1, 0 * WHITE), (2, WHITE)):
            save(tmp_path / "ksdd2" / split / f"1000{number}.png", GREY)
            save(tmp_path / "ksdd2" / split / f"1000{number}_GT.png", mask)
    manifest = index("ksdd2", tmp_path)
    assert [(s.id, s.defective, s.mask is None) for s in manifest.test] == [
        ("test/10001.png", False, True),
        ("test/10002.png", True, False),
    ]
    (tmp_path / "ksdd2/train/10001_GT.png").unlink()
    with pytest.raises(DataError, match=r"train/10001\.png: an image without mask"):
        index("ksdd2", tmp_path)
    with pytest.raises(DataError, match="train: no such folder"):
        (tmp_path / "ksdd2/train").rename(tmp_path / "ksdd2/training")
        index("ksdd2", tmp_path)


def test_btad_mixes_endings_in_one_category(tmp_path: Path) -> None:
    category = tmp_path / "btad" / "BTech_Dataset_transformed" / "03"
    save(category / "test/ok/0001.bmp", GREY)
    save(category / "test/ko/0002.png", GREY)
    save(category / "ground_truth/ko/0002.bmp", WHITE)
    manifest = index("btad", tmp_path)
    assert [(s.id, s.defect_type) for s in manifest.test] == [
        ("03/test/ko/0002.png", "ko"),
        ("03/test/ok/0001.bmp", "good"),
    ]


def test_a_folder_that_the_card_does_not_know(tmp_path: Path) -> None:
    link = Linker(tmp_path / ".links")
    link(tmp_path / "mpdd/sprocket/test/good/000.png", 40)
    with pytest.raises(DataError, match=r"sprocket / test / good: 1 of 0 \(1 too many\)"):
        dataset("mpdd", categories=None).manifest(tmp_path)
    with pytest.raises(DataError, match="category 'tubes' of mpdd is not in the data; `make data DATASET=mpdd`"):
        dataset("mpdd", categories=["tubes"]).manifest(tmp_path)
    with pytest.raises(ConfigError, match="no category 'tubs'; did you mean 'tubes'"):
        dataset("mpdd", categories=["tubs"]).manifest(tmp_path)
