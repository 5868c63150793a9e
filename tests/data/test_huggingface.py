"""Datasets of the Hugging Face library; all but the first test need it (make extras)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.core.samples import Manifest
from tests.data.dataset_trees import dataset
from tests.data.importer_files import HEIGHT, WIDTH, photo, square, told, truth

SPEC = importlib.util.find_spec("datasets")
THERE = SPEC is not None and SPEC.origin is not None
extra = pytest.mark.extra


def read(path: Path | str, **changes: Any) -> Manifest:
    return dataset("huggingface", repository=str(path), **changes).manifest(Path("nowhere"))


@pytest.mark.skipif(THERE, reason="the library is installed")
def test_without_the_library_the_message_says_how_to_get_it() -> None:
    with pytest.raises(BenchmarkError, match="library datasets, which is not installed: `make extras`"):
        read("owner/name")


def test_no_repository_is_named() -> None:
    with pytest.raises(BenchmarkError, match=r"dataset\.repository: say which dataset to read"):
        dataset("huggingface").manifest(Path("nowhere"))


@pytest.fixture
def library() -> Any:
    if not THERE:
        pytest.skip("needs the library datasets: make extras")
    return importlib.import_module("datasets")


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def mask() -> Image.Image:
    return Image.fromarray(square().astype(np.uint8) * 255)


@extra
def test_a_folder_of_images_by_class(library: Any, tmp_path: Path) -> None:
    for split, kind in (("train", "good"), ("test", "good"), ("test", "scratch"), ("test", "bad")):
        photo(tmp_path / "data" / split / kind / "a b.jpg", seed=hash(kind) % 9)
    found = read(tmp_path / "data")
    assert [s.defective for s in found.train] == [False]
    assert sorted((s.defective, s.defect_type) for s in found.test) == [
        (False, "good"), (True, "defect"), (True, "scratch"),
    ]  # fmt: skip
    assert read(tmp_path / "data").fingerprint == found.fingerprint
    content = (tmp_path / "data" / "train" / "good" / "a b.jpg").read_bytes()
    assert found.train[0].image.read_bytes() == content and found.train[0].image.suffix == ".jpg"


@extra
def test_what_was_saved_to_disk_with_masks_and_other_names(library: Any, tmp_path: Path) -> None:
    rows = {
        "photo": [picture(0), picture(1)], "verdict": [0, 1], "truth": [None, mask()], "part": ["ring", "ring"],
    }  # fmt: skip
    features = library.Features(
        {"photo": library.Image(), "verdict": library.ClassLabel(names=["good", "bad"]), "truth": library.Image(),
         "part": library.Value("string")}
    )  # fmt: skip
    whole = library.DatasetDict({"validation": library.Dataset.from_dict(rows, features=features)})
    whole.save_to_disk(str(tmp_path / "saved"))
    columns = {"image": "photo", "label": "verdict", "mask": "truth"}
    found = read(tmp_path / "saved", columns=columns)
    assert told(found) == [
        ("validation/images/000000.png", False, "good"), ("validation/images/000001.png", True, "defect"),
    ]  # fmt: skip
    assert found.test[0].category == "ring" and (truth(found.test[1]) == square()).all()
    with pytest.raises(BenchmarkError, match="no column image; it has: photo, verdict, truth, part"):
        read(tmp_path / "saved")
    with pytest.raises(BenchmarkError, match=r"has no column 'foto'; did you mean 'photo'"):
        read(tmp_path / "saved", columns={**columns, "image": "foto"})
    with pytest.raises(BenchmarkError, match="the column part holds no images"):
        read(tmp_path / "saved", columns={**columns, "image": "part"})


@extra
def test_parquet_files_whose_label_is_a_mask(library: Any, tmp_path: Path) -> None:
    data = library.Dataset.from_dict(
        {"image": [picture(1)], "label": [mask()]},
        features=library.Features(image=library.Image(), label=library.Image()),
    )
    (tmp_path / "data").mkdir()
    data.to_parquet(str(tmp_path / "data" / "test-00000.parquet"))
    found = read(tmp_path / "data")
    assert found.test[0].defective and (truth(found.test[0]) == square()).all()


@extra
def test_what_cannot_be_loaded_is_named(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchmarkError, match=r"cannot be loaded \(.*; check dataset\.repository"):
        read(tmp_path / "nothing-here")
    for kind in ("1", "2"):
        photo(tmp_path / "data" / "test" / kind / "a.png")
    with pytest.raises(BenchmarkError, match="the label '2' is neither OK nor NOK"):
        read(tmp_path / "data")
