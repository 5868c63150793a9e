"""Nothing vanishes from a folder without a word, and masks that would be read wrongly are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Manifest
from benchmark.data.images import load_image
from benchmark.data.masks import load_levels
from benchmark.data.records import natural
from benchmark.results.files import read_rows
from tests.data.dataset_trees import dataset, mvtec_tree, save
from tests.harness import run, typed

MARK = np.zeros((64, 80), np.uint8)
MARK[10:40, 12:50] = 255


def manifest(root: Path, **changes: object) -> Manifest:
    return dataset("folder", path=str(root), **changes).manifest(root)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return mvtec_tree(tmp_path / "parts", good=3, defective=3)


def dangling(folder: Path) -> None:
    (folder / "x.png").symlink_to(folder / "nowhere.png")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "x.png")


def directory(folder: Path) -> None:
    (folder / "x.png").mkdir()


def empty(folder: Path) -> None:
    (folder / "x.png").write_bytes(b"")


def pointer(folder: Path) -> None:
    (folder / "x.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")


def page(folder: Path) -> None:
    (folder / "x.png").write_text("<!DOCTYPE html><html></html>")


def huge(folder: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(folder / "x.png")


BROKEN = [dangling, pipe, directory, empty, pointer, page, huge]


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
@pytest.mark.parametrize("place", ["test/good", "train/good"])
def test_what_is_no_image_is_refused_by_name(part: Path, make: Callable[[Path], None], place: str) -> None:
    make(part / place)
    with pytest.raises(DataError, match=r"x\.png") as caught:
        manifest(part.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_with_record_it_is_one_failed_row(part: Path, make: Callable[[Path], None]) -> None:
    make(part / "test" / "good")
    words = ("dataset=folder", f"dataset.path={part.parent}", "pipeline=reference_difference", "run.on_error=record")
    for again in range(2):
        finished = run(part.parents[1], *words)
        assert finished.result.outcomes == {"failed": 1, "ok": 6}, again
    rows = read_rows(finished.folder).set_index("id")
    assert rows.loc["part/test/good/x.png", "outcome"] == "failed"
    assert "x.png" in rows.loc["part/test/good/x.png", "message"]


@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_a_broken_mask_is_one_failed_row_too(part: Path, content: bytes) -> None:
    (part / "ground_truth" / "scratch" / "001_mask.png").write_bytes(content)
    save(part / "ground_truth" / "scratch" / "002_mask.png", np.zeros((5, 5), np.uint8))  # of another size
    words = ("dataset=folder", f"dataset.path={part.parent}", "pipeline=reference_difference")
    with pytest.raises(DataError, match="001_mask"):
        run(part.parents[1], *words)
    finished = run(part.parents[1], *words, "run.on_error=record")
    assert finished.result.outcomes == {"failed": 2, "ok": 4}


def test_files_without_permission(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(DataError, match=r"png: cannot be read \(Permission denied\)"):
        manifest(part.parent)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that gives an error when it is read")
def test_with_record_a_file_whose_disk_fails_is_one_failed_row(part: Path) -> None:
    (part / "test" / "good" / "x.png").symlink_to("/proc/self/mem")
    words = ("dataset=folder", f"dataset.path={part.parent}", "pipeline=reference_difference", "run.gallery=0")
    with pytest.raises(DataError, match=r"x\.png: .*Input/output error"):
        run(part.parents[1], *words)
    finished = run(part.parents[1], *words, "run.on_error=record")
    assert finished.result.outcomes == {"failed": 1, "ok": 6}
    assert "Input/output error" in read_rows(finished.folder).set_index("id").loc["part/test/good/x.png", "message"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test/good/x.heic", "part/test/good: 1 file not used, the first is x.heic"),
        ("test/good/notes.txt", "part/test/good: 1 file not used, the first is notes.txt"),
        ("test/x.png", "part/test: 1 file not used, the first is x.png"),
        ("test/good/deeper/x.png", "part/test/good/deeper: 1 file not used, the first is x.png"),
        ("validation/good/x.png", "part/validation/good: 1 file not used, the first is x.png"),
        ("ground_truth/scratch/000_mask.xcf", "part/ground_truth/scratch: 1 file not used, the first is 000_mask.xcf"),
        ("x.png", "part: 1 file not used, the first is x.png"),
    ],
)
def test_what_is_not_used_is_named_with_its_number(part: Path, name: str, said: str) -> None:
    (part / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(part / "test" / "good" / "000.png", part / name)
    assert said in manifest(part.parent).notes


def test_hidden_files_and_documents_beside_the_folders_are_no_matter(part: Path) -> None:
    for name in (".DS_Store", "test/good/Thumbs.db", "test/good/.x.png", "readme.txt", "license.pdf", "../card.yaml"):
        (part / name).write_text("x")
    assert manifest(part.parent).notes == ()


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JPG", "dib", "pnm"])
def test_endings_of_known_formats_are_images(part: Path, ending: str) -> None:
    shutil.copy(part / "test" / "good" / "000.png", part / "test" / "good" / f"x.{ending}")
    assert len(manifest(part.parent).test) == 7  # the content decides


def masked(root: Path, **options: object) -> Path:
    """Three good and three defective images with real marks; masks are written as the options say."""
    ending = options.pop("ending", "png")
    levels = options.pop("levels", MARK)
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 200, (64, 80, 3), dtype=np.uint8)
        save(root / "part" / "test" / "good" / f"{i}.png", noise)
        save(root / "part" / "test" / "cut" / f"{i}.png", noise)
        save(root / "part" / "ground_truth" / "cut" / f"{i}_mask.{ending}", np.asarray(levels), **options)
    return root


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_masks_in_a_lossy_format_are_refused_where_their_noise_would_count(tmp_path: Path, ending: str) -> None:
    root = masked(tmp_path / "parts", ending=ending, quality=75)
    words = ("dataset=folder", f"dataset.path={root}", "pipeline=constant")
    with pytest.raises(
        DataError, match=rf"0_mask\.{ending}: a mask in a lossy format .3 of 3.*PNG.*mask_threshold=127"
    ):
        run(tmp_path, *words)
    assert run(tmp_path, *words, "protocol.mask_threshold=127").result.outcomes == {"ok": 6}
    truth = manifest(root).test[0]
    assert truth.mask is not None and (load_levels(truth.mask) > 127).sum() == pytest.approx((MARK > 0).sum(), rel=0.01)


@pytest.mark.parametrize("levels", [MARK // 255, MARK.astype(np.uint16)], ids=["0 and 1", "16 bit, 0 and 255"])
def test_masks_of_which_nothing_would_count_are_refused(tmp_path: Path, levels: np.ndarray) -> None:
    root = masked(tmp_path / "parts", levels=levels)
    words = ("dataset=folder", f"dataset.path={root}", "pipeline=constant")
    with pytest.raises(DataError, match=r"no mask has a level above protocol.mask_threshold=128, the highest is 1"):
        run(tmp_path, *words, "protocol.mask_threshold=128")
    assert run(tmp_path, *words, "protocol.mask_threshold=0").result.outcomes == {"ok": 6}
    save(root / "part" / "ground_truth" / "cut" / "0_mask.png", MARK)
    mixed = run(tmp_path, *words, "protocol.mask_threshold=128").result
    assert any("2 masks have marks, but none above" in note for note in mixed.dataset.notes)


def test_blank_masks_of_good_images_are_what_they_say(part: Path) -> None:
    for name in ("000", "001"):
        save(part / "ground_truth" / "good" / f"{name}_mask.png", np.zeros((6, 8), np.uint8))
    found = manifest(part.parent)
    assert all(s.mask is None for s in found.test if not s.defective) and found.notes == ()
    save(part / "ground_truth" / "good" / "001_mask.png", np.full((6, 8), 255, np.uint8))
    with pytest.raises(DataError, match=r"001\.png: a good image, but its mask .* marks a defect"):
        manifest(part.parent)
    save(part / "ground_truth" / "good" / "009_mask.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match="009_mask"):
        manifest(part.parent)


@pytest.mark.parametrize(("image", "mask"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_one_name_written_in_two_ways_is_one_name(part: Path, image: str, mask: str) -> None:
    (part / "test/scratch/000.png").rename(part / "test/scratch" / normalize(image, "café.png"))
    (part / "ground_truth/scratch/000_mask.png").rename(
        part / "ground_truth/scratch" / normalize(mask, "café_mask.png")
    )
    assert len(manifest(part.parent).test) == 6


@pytest.mark.parametrize("name", ["10²", "①", "³", "٣", "x½"])
def test_digits_that_are_none(tmp_path: Path, name: str) -> None:
    mvtec_tree(tmp_path, category=name)
    (tmp_path / name / "test" / "scratch").rename(tmp_path / name / "test" / "②")
    (tmp_path / name / "ground_truth" / "scratch").rename(tmp_path / name / "ground_truth" / "②")
    assert manifest(tmp_path).categories == (name,)
    assert sorted(["b10", "b2", name], key=natural)


def test_sixteen_bit_pgm(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 65535], [128, 129, 1]], np.uint16)
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5\n3 2\n65535\n" + levels.astype(">u2").tobytes())
    assert load_image(path)[..., 0].tolist() == [[0, 1, 255], [0, 1, 0]]
    assert load_levels(path).tolist() == [[0, 1, 255], [1, 1, 1]]
    path.write_bytes(b"P5\n2 1\n4095\n" + np.array([[0, 4095]], ">u2").tobytes())
    assert load_image(path)[..., 0].tolist() == [[0, 255]]


@pytest.mark.parametrize("size", ["[0,10]", "[10,-1]", "[3]", "[1.5,2]"])
def test_a_size_is_checked_when_the_config_is_read(size: str) -> None:
    with pytest.raises(ConfigError, match=r"protocol\.size"):
        typed(f"protocol.size={size}")
