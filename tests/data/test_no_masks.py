"""Defective images of which only the label is known: pixels count nowhere, labels do, and everything says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.cli.main import main
from benchmark.core.errors import DataError
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset, save
from tests.harness import run

PIXELS = ("ap", "f1_max", "auroc", "aupro", "iou", "max_iou")
WORDS = ("pipeline=reference_difference", "pipeline.threshold=40", "pipeline.align.motion=none", "metric=full")


def parts(root: Path, *, masks: int, defective: int = 4) -> Path:
    """Good images and some with a bright square, of which the first ones have a mask."""
    rng = np.random.default_rng(0)

    def image(defect: bool) -> np.ndarray:
        pixels = rng.integers(90, 110, (48, 40, 3), dtype=np.uint8)
        if defect:
            pixels[10:20, 10:20] = 250
        return pixels

    for number in range(4):
        save(root / f"part/train/good/{number}.png", image(False))
        save(root / f"part/test/good/{number}.png", image(False))
    mask = np.zeros((48, 40), dtype=np.uint8)
    mask[10:20, 10:20] = 255
    for number in range(defective):
        save(root / f"part/test/cut/{number}.png", image(True))
        if number < masks:
            save(root / f"part/ground_truth/cut/{number}_mask.png", mask)
    return root


def test_labels_alone_give_image_metrics_and_pixel_metrics_say_why_not(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=0)
    done = run(tmp_path, "dataset=folder", f"dataset.path={root}", *WORDS)
    result = done.result
    assert result.metric("image_auroc").value == 1.0 and result.metric("f2").value is not None
    for name in PIXELS:
        row = result.metric(name)
        assert row.value is None and row.reason is not None, name
        assert "4 defective images have no mask" in row.reason, name
    assert any(
        "4 of 4 defective images have no mask, the first is part/test/cut/0.png" in n for n in result.dataset.notes
    )
    rows = pd.read_parquet(done.folder / "per_image.parquet").set_index("id")
    assert rows.loc["part/test/cut/0.png", ["n_defect_pixels", "iou"]].isna().all()
    assert rows.loc["part/test/good/0.png", "n_defect_pixels"] == 0


def test_a_constant_answer_needs_no_mask_either(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=0)
    assert run(tmp_path, "dataset=folder", f"dataset.path={root}", "pipeline=constant").result.metric("f2").value


def test_mixed_folders_count_both_ways(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=2)
    mixed = run(tmp_path, "dataset=folder", f"dataset.path={root}", *WORDS).result
    for number in (2, 3):
        (root / f"part/test/cut/{number}.png").unlink()
    masked = run(tmp_path, "dataset=folder", f"dataset.path={root}", *WORDS).result
    for name in PIXELS:
        assert mixed.metric(name).value == masked.metric(name).value, name
        if name != "iou":
            row = next(m for m in mixed.metrics if (m.metric, m.category) == (name, "part"))
            assert (row.n, row.n_defective, row.n_skipped) == (6, 2, 2), name
    assert next(m for m in mixed.metrics if (m.metric, m.category) == ("f2", "part")).n_defective == 4


@pytest.mark.parametrize("scoring", ["default", "saa_plus", "iap_as", "domain_gap"])
def test_every_protocol_keeps_the_label_of_an_image_without_a_mask(tmp_path: Path, scoring: str) -> None:
    root = parts(tmp_path / "mine", masks=2)
    words = ("dataset=folder", f"dataset.path={root}", "pipeline=constant", "metric=labels", f"protocol={scoring}")
    assert next(m for m in run(tmp_path, *words).result.metrics if m.category == "part").n_defective == 4


def test_an_empty_mask_is_another_thing_than_none(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=0, defective=2)
    save(root / "part/ground_truth/cut/0_mask.png", np.zeros((48, 40), dtype=np.uint8))
    manifest = dataset("folder", path=root).manifest(tmp_path)
    empty, absent = (s for s in manifest.test if s.defective)
    assert load_truth(empty, shape=(48, 40)).known and not load_truth(absent, shape=(48, 40)).known
    assert any("1 defective image has an all-zero mask" in note for note in manifest.notes)
    assert any("1 of 2 defective images have no mask" in note for note in manifest.notes)
    done = run(tmp_path, "dataset=folder", f"dataset.path={root}", *WORDS)
    rows = pd.read_parquet(done.folder / "per_image.parquet").set_index("id")["n_defect_pixels"]
    assert rows["part/test/cut/0.png"] == 0 and np.isnan(rows["part/test/cut/1.png"])
    assert main(["report", "--results-root", str(tmp_path / "results")]) == 0


def test_masks_that_are_required_are_asked_for_with_every_way_out(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=0)
    with pytest.raises(DataError, match=r"say dataset\.masks=optional .* dataset\.good_names=\[cut\]"):
        dataset("folder", path=root, masks="required").manifest(tmp_path)


def test_a_mask_under_another_name_is_still_an_error(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=1)
    (root / "part/ground_truth/cut/0_mask.png").rename(root / "part/ground_truth/cut/0_gt.png")
    with pytest.raises(DataError, match=r"0_gt\.png: 1 mask is called .* dataset\.mask_suffixes=\[_gt\]"):
        dataset("folder", path=root).manifest(tmp_path)


def test_removing_a_mask_is_another_run(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=2)
    words = ("dataset=folder", f"dataset.path={root}", "pipeline=constant")
    first = run(tmp_path, *words).result
    shutil.rmtree(root / "part/ground_truth")
    assert run(tmp_path, *words).result.id != first.id


@pytest.mark.parametrize("name", ["OK", "normal", "Good"])
def test_a_folder_that_sounds_good_is_not_taken_for_defective(tmp_path: Path, name: str) -> None:
    root = parts(tmp_path / "mine", masks=1)
    (root / "part/test/good").rename(root / f"part/test/{name}")
    with pytest.raises(DataError, match=rf"dataset\.good_names=\[{name}\]"):
        dataset("folder", path=root).manifest(tmp_path)
    assert dataset("folder", path=root, good_names=[name, "good"]).manifest(tmp_path).test


def test_train_images_under_another_good_name_are_not_sent_to_test(tmp_path: Path) -> None:
    root = parts(tmp_path / "mine", masks=0)
    (root / "part/train/good").rename(root / "part/train/OK")
    with pytest.raises(DataError, match=r"say dataset\.good_names=\[OK\] if that is what it holds"):
        dataset("folder", path=root).manifest(tmp_path)


def test_own_data_have_no_counts_of_a_card_and_no_masks_to_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    root = parts(tmp_path / "mine", masks=0)
    assert main(["data", "folder", "verify", f"dataset.path={root}"]) == 0
    told = capsys.readouterr().out
    assert "expected" not in told and "with their masks" not in told and "\nimages: " in told


def test_a_folder_without_images_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "mine/part/OK/0.png", np.zeros((4, 4), dtype=np.uint8))
    assert main(["data", "folder", "verify", f"dataset.path={tmp_path / 'mine'}"]) == 1
    assert "no image of dataset folder in it; expected: <category>/train/good" in capsys.readouterr().out
