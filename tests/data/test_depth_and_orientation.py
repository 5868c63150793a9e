"""How files become pixels where they do not say it: values of 12-bit cameras in 16-bit files, and EXIF orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.core.errors import DataError
from benchmark.core.samples import Reading, Sample
from benchmark.data.images import load_image
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset, save
from tests.harness import run

EVERY_TURN = range(1, 9)


def deep(root: Path, highest: int, *, train: int | None = None) -> None:
    """A folder whose images hold 0 up to ``highest``, the training image up to ``train``."""
    for split, name, peak in (
        ("train", "good", highest if train is None else train), ("test", "good", highest), ("test", "cut", highest)
    ):  # fmt: skip
        ramp = np.linspace(0, peak, 40 * 30).round().astype(np.uint16).reshape(40, 30)
        save(root / "part" / split / name / "0.png", ramp)
    save(root / "part" / "ground_truth" / "cut" / "0_mask.png", np.eye(40, 30, dtype=np.uint8) * 255)


def samples(root: Path, **changes: object) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    manifest = dataset("folder", path=root, **changes).manifest(root)
    return manifest.samples, manifest.notes


@pytest.mark.parametrize(("highest", "bits"), [(1023, 10), (4095, 12), (3000, 12), (16000, 14), (200, 8), (255, 8)])
def test_the_range_is_taken_from_the_data_and_said(tmp_path: Path, highest: int, bits: int) -> None:
    deep(tmp_path / "mine", highest)
    found, notes = samples(tmp_path / "mine")
    assert any(f"3 images of 16 bits are read as {bits}-bit, 0 to {2**bits - 1}" in note for note in notes)
    pixels = load_image(found[0].image, found[0].reading)
    with Image.open(found[0].image) as stored:
        exact = np.asarray(stored).astype(np.float64) * 255 / (2**bits - 1)
    assert np.abs(pixels[..., 0] - exact).max() <= 0.5 + 1e-9
    assert len(np.unique(pixels)) > 100, "grey levels are lost"


def test_all_images_of_a_dataset_share_one_range(tmp_path: Path) -> None:
    deep(tmp_path / "mine", 900, train=4000)
    found, _ = samples(tmp_path / "mine")
    assert {sample.reading for sample in found} == {Reading(bits=12)}


def test_full_range_is_read_as_before_without_a_word(tmp_path: Path) -> None:
    deep(tmp_path / "mine", 65535)
    found, notes = samples(tmp_path / "mine")
    assert not [note for note in notes if "bits" in note]
    with Image.open(found[0].image) as stored:
        before = ((np.asarray(stored).astype(np.uint32) + 128) // 257).astype(np.uint8)
    assert np.array_equal(load_image(found[0].image, found[0].reading)[..., 0], before)


def test_a_setting_decides_and_another_reading_is_another_content(tmp_path: Path) -> None:
    deep(tmp_path / "mine", 900)
    readings = {bits: samples(tmp_path / "mine", bits=bits)[0] for bits in (None, 12, 16)}
    assert {bits: found[0].reading.bits for bits, found in readings.items()} == {None: 10, 12: 12, 16: 16}
    assert len({found[0].sha256 for found in readings.values()}) == 3
    assert len({found[2].mask_sha256 for found in readings.values()}) == 1
    with pytest.raises(DataError, match=r"holds 900, more than dataset\.bits=8 can be \(255\)"):
        load_image(readings[12][0].image, Reading(bits=8))


def test_runs_differ_by_how_images_are_read_and_not_by_a_setting_without_effect(tmp_path: Path) -> None:
    deep(tmp_path / "mine", 900)
    words = (
        "dataset=folder",
        f"dataset.path={tmp_path / 'mine'}",
        "pipeline=reference_difference",
        "pipeline.threshold=40",
    )
    ids = [run(tmp_path, *words, f"dataset.bits={bits}").result.id for bits in ("null", "10", "12")]
    assert ids[0] == ids[1] != ids[2]


def photographed(root: Path, turn: int, *, mask_as: str) -> tuple[np.ndarray, np.ndarray]:
    """Write an image as a camera that was turned does; returns image and mask as a viewer shows them."""
    rng = np.random.default_rng(turn)
    shown = rng.integers(0, 256, (20, 33, 3), dtype=np.uint8)
    defect = np.zeros((20, 33), dtype=np.uint8)
    defect[2:6, 3:20] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    for name in ("train/good/0.png", "test/good/0.png", "test/cut/0.png"):
        save(root / "part" / name, stored_as(shown, turn), exif=exif)
    mask = stored_as(defect, turn) if mask_as != "shown" else defect
    options = {"exif": exif} if mask_as == "tagged" else {}
    save(root / "part" / "ground_truth" / "cut" / "0_mask.png", mask, **options)
    return shown, defect


def stored_as(shown: np.ndarray, turn: int) -> np.ndarray:
    """The grid that a viewer turns into ``shown``; by the table of the EXIF standard."""
    undo = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }  # fmt: skip
    return np.ascontiguousarray(undo[turn](shown))


@pytest.mark.parametrize("turn", EVERY_TURN)
@pytest.mark.parametrize("mask_as", ["shown", "tagged"])
def test_images_and_masks_are_read_as_a_viewer_shows_them(tmp_path: Path, turn: int, mask_as: str) -> None:
    shown, defect = photographed(tmp_path / "mine", turn, mask_as=mask_as)
    found, notes = samples(tmp_path / "mine")
    assert any("EXIF orientation, which is applied" in note for note in notes) == (turn != 1)
    cut = next(sample for sample in found if sample.defective)
    assert np.array_equal(load_image(cut.image, cut.reading), shown)
    assert np.array_equal(load_truth(cut, shape=(20, 33)).mask, defect > 0)


@pytest.mark.parametrize("turn", [2, 6])
def test_masks_on_the_stored_grid_need_the_setting_and_the_error_says_so(tmp_path: Path, turn: int) -> None:
    shown, defect = photographed(tmp_path / "mine", turn, mask_as="stored")
    if turn == 6:
        with pytest.raises(DataError, match=r"perhaps dataset\.exif_orientation=ignore"):
            samples(tmp_path / "mine")
    found, notes = samples(tmp_path / "mine", exif_orientation="ignore")
    assert any("which is not applied" in note for note in notes)
    cut = next(sample for sample in found if sample.defective)
    assert np.array_equal(load_image(cut.image, cut.reading), stored_as(shown, turn))
    grid = stored_as(defect, turn)
    assert np.array_equal(load_truth(cut, shape=grid.shape).mask, grid > 0)


def test_a_turned_photograph_goes_through_a_whole_run(tmp_path: Path) -> None:
    photographed(tmp_path / "mine", 6, mask_as="shown")
    words = (
        "dataset=folder",
        f"dataset.path={tmp_path / 'mine'}",
        "pipeline=reference_difference",
        "pipeline.threshold=40",
    )
    applied = run(tmp_path, *words, "pipeline.align.motion=none")
    assert applied.result.metric("ap").value is not None
    with pytest.raises(DataError, match="the mask is 33x20"):
        run(tmp_path, *words, "dataset.exif_orientation=ignore")


def test_damaged_exif_data_are_no_orientation(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.zeros((8, 12, 3), dtype=np.uint8), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert load_image(path, Reading(upright=True)).shape == (8, 12, 3)


def test_a_reference_that_a_setting_names_is_read_as_the_images_are(tmp_path: Path) -> None:
    deep(tmp_path / "mine", 900)
    reference = tmp_path / "mine/part/train/good/0.png"
    words = ("dataset=folder", f"dataset.path={tmp_path / 'mine'}", "pipeline=reference_difference")
    given = ("pipeline.align.motion=none", "pipeline.threshold=40", f"pipeline.reference={reference}")
    done = run(tmp_path, *words, *given)
    scores = pd.read_parquet(done.folder / "per_image.parquet")["image_score"]
    assert (scores == 0).all(), "each image is the reference itself"
