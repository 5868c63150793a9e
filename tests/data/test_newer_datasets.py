"""What is special to MVTec LOCO AD, MVTec AD 2, VAD and Real-IAD, and what is wrong with a copy named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.samples import Manifest
from benchmark.data.card import load_card
from benchmark.data.masks import load_truth
from benchmark.data.mvtec_ad2 import MvtecAd2
from tests.data.dataset_trees import Linker, dataset, save
from tests.data.full_trees import real_iad
from tests.data.importer_files import write


def read(name: str, data_root: Path, **changes: Any) -> Manifest:
    return dataset(name, allow_partial=True, **changes).manifest(data_root)


@pytest.fixture
def link(tmp_path: Path) -> Linker:
    return Linker(tmp_path / ".links")


@pytest.fixture
def loco(tmp_path: Path, link: Linker) -> Path:
    """One category; the defective image has two masks that overlap in one pixel."""
    root = tmp_path / "mvtec_loco" / "screw_bag"
    for part in ("train/good", "validation/good", "test/good", "test/logical_anomalies"):
        link(root / part / "000.png", 40)
    for number, level, columns in ((0, 236, (0, 2)), (1, 1, (1, 3))):
        mask = np.zeros((2, 3), np.uint8)
        mask[0, slice(*columns)] = level
        save(root / "ground_truth" / "logical_anomalies" / "000" / f"{number:03}.png", mask)
    return tmp_path


def test_every_mask_of_an_image_counts_whatever_its_level(loco: Path) -> None:
    found = read("mvtec_loco", loco)
    assert [(s.id[10:], s.split, s.defect_type) for s in found.samples] == [
        ("train/good/000.png", "train", "good"), ("test/good/000.png", "test", "good"),
        ("test/logical_anomalies/000.png", "test", "logical_anomalies"),
    ]  # fmt: skip
    truth = load_truth(found.samples[-1], shape=(2, 3), threshold=127)
    assert truth.mask.tolist() == [[True, True, True], [False, False, False]]
    assert len(read("mvtec_loco", loco, validation="train").train) == 2
    save(loco / "mvtec_loco/screw_bag/ground_truth/logical_anomalies/000/001.png", np.zeros((2, 3), np.uint8))
    assert read("mvtec_loco", loco).fingerprint != found.fingerprint


def test_masks_of_loco_that_do_not_fit(loco: Path) -> None:
    truth = loco / "mvtec_loco" / "screw_bag" / "ground_truth" / "logical_anomalies"
    save(truth / "000" / "001.png", np.zeros((2, 4), np.uint8))
    with pytest.raises(BenchmarkError, match=r"000/001\.png: the mask is 4x2"):
        read("mvtec_loco", loco)
    (truth / "000").rename(truth / "001")
    with pytest.raises(BenchmarkError, match=r"logical_anomalies/000\.png: its masks are not there; put them into"):
        read("mvtec_loco", loco)


def test_private_images_of_ad_2_are_listed_and_lights_are_one_group(tmp_path: Path, link: Linker) -> None:
    root = tmp_path / "mvtec_ad_2" / "can"
    for part in ("train/good", "test_public/good", "test_public/bad", "test_private", "test_private_mixed"):
        for light in ("regular", "shift_1"):
            link(root / part / f"000_{light}.png", 40)
    for light in ("regular", "shift_1"):
        link(root / "test_public/ground_truth/bad" / f"000_{light}_mask.png", 255)
    found = read("mvtec_ad_2", tmp_path)
    assert len({s.group for s in found.test}) == 2 and len(found.test) == 4
    settings = dataset("mvtec_ad_2", allow_partial=True)
    assert isinstance(settings, MvtecAd2)
    private = settings.unlabelled(tmp_path)
    assert [s.id for s in private.test] == [
        f"can/{split}/000_{light}.png" for split in ("test_private", "test_private_mixed")
        for light in ("regular", "shift_1")
    ]  # fmt: skip
    assert {s.category for s in private.test} == {"can"} and private.train == found.train
    for file in (root / "test_private").iterdir():
        file.unlink()
    with pytest.raises(BenchmarkError, match="test_private: no image in it; get the whole archive"):
        settings.unlabelled(tmp_path)
    (root / "test_public/ground_truth/bad/000_regular_mask.png").unlink()
    with pytest.raises(BenchmarkError, match=r"bad/000_regular\.png: an image without mask; put its mask at"):
        read("mvtec_ad_2", tmp_path)


def test_vad_has_labels_alone(tmp_path: Path, link: Linker) -> None:
    for part in ("train/good", "train/bad", "test/good", "test/bad", "test/bad_unseen_defects"):
        link(tmp_path / "vad" / part / "1.png", 40)
    found = read("vad", tmp_path)
    assert [(s.split, s.defect_type) for s in found.samples] == [
        ("train", "good"), ("train", "bad"), ("test", "good"), ("test", "bad"), ("test", "bad_unseen_defects"),
    ]  # fmt: skip
    assert not load_truth(found.test[1], shape=(2, 3)).known
    (tmp_path / "vad" / "test" / "bad" / "1.png").unlink()
    with pytest.raises(BenchmarkError, match="test/bad: no image in it; get the dataset again"):
        read("vad", tmp_path)


@pytest.fixture
def iad(tmp_path: Path, link: Linker) -> Path:
    real_iad(tmp_path / "real_iad", link, load_card("real_iad").model_copy(update={"categories": {"usb": "object"}}))
    return tmp_path


def test_views_of_one_object_are_one_group(iad: Path) -> None:
    found = read("real_iad", iad)
    assert {s.group for s in found.samples} == {"usb/OK/S0001", "usb/NG/HS/S0002"}
    assert [(s.defective, s.defect_type) for s in found.test] == [(True, "scratch")] * 2 + [(False, "good")] * 3
    assert load_truth(found.test[0], shape=(2, 3)).mask.all()


def test_copies_of_real_iad_that_are_not_whole(iad: Path) -> None:
    root = iad / "real_iad"
    with pytest.raises(BenchmarkError, match=r"realiad_256: no such folder \(there is: realiad_1024, realiad_jsons\)"):
        read("real_iad", iad, resolution="256")
    with pytest.raises(BenchmarkError, match=r"realiad_jsons_sv: no such folder .*give dataset\.split_file"):
        read("real_iad", iad, split_file="realiad_jsons_sv")
    image = next((root / "realiad_1024" / "usb" / "OK").rglob("*.jpg"))
    image.unlink()
    with pytest.raises(BenchmarkError, match=r"usb\.json, train \d: .* is not there"):
        read("real_iad", iad)
    write(root / "realiad_jsons" / "realiad_jsons" / "usb.json", {"train": [{"image_path": "../../x.jpg"}]})
    with pytest.raises(BenchmarkError, match=r"usb\.json, train 1: no image_path or anomaly_class"):
        read("real_iad", iad)
    write(root / "realiad_jsons" / "realiad_jsons" / "usb.json", [1])
    with pytest.raises(BenchmarkError, match="no split of Real-IAD"):
        read("real_iad", iad)
