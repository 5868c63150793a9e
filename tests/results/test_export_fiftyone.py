"""A run as a FiftyOne dataset: the form that FiftyOne reads, and, where the extra is there, read by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.harness import SMALL_SAT, run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fiftyone")
    done = run(folder, *SMALL_SAT, "pipeline=reference_difference", "run.export=[fiftyone,maps]")
    assert f"fiftyone: 12 images in {done.folder / 'export' / 'fiftyone'}" in done.exported
    found: Path = done.folder / "export" / "fiftyone"
    return found


def samples(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "samples.json").read_text())["samples"]
    return found


def test_every_image_has_its_labels_and_pictures(exported: Path) -> None:
    assert "version" not in json.loads((exported / "metadata.json").read_text()), "the form that FiftyOne migrates"
    found = samples(exported)
    assert len(found) == 12 and sum(one["ground_truth"]["label"] == "defective" for one in found) == 6
    for one in found:
        assert Path(one["filepath"]).is_file() and one["tags"] == ["test"]
        for field, key in (
            ("score_map", "map_path"),
            ("ground_truth_mask", "mask_path"),
            ("predicted_mask", "mask_path"),
        ):
            path = Path(one[field][key])
            assert path.parts[:2] == ("fields", field) and Image.open(exported / path).size == (64, 64)
        for box in one["regions"]["detections"]:
            assert all(0 <= side <= 1 for side in box["bounding_box"]) and box["confidence"] >= 0


def test_maps_have_their_scores_and_one_scale(exported: Path) -> None:
    found = samples(exported)
    for one in found:
        scores = np.load((exported.parent / "maps" / one["image_id"]).with_suffix(".npy"))
        levels = np.asarray(Image.open(exported / one["score_map"]["map_path"])).astype(float)
        span = one["score_high"] - one["score_low"]
        assert np.abs(one["score_low"] + levels / 255 * span - scores).max() <= span / 255
    ends = {
        tuple(round(s["score_low"] + v / 255 * (s["score_high"] - s["score_low"]), 3) for v in s["score_map"]["range"])
        for s in found
    }
    assert ends == {(round(min(s["score_low"] for s in found), 3), round(max(s["score_high"] for s in found), 3))}


@pytest.mark.extra
def test_fiftyone_reads_it(exported: Path) -> None:
    pytest.importorskip("fiftyone", reason="the extra fiftyone is not installed: make extras")
    from fiftyone.utils.data.importers import FiftyOneDatasetImporter

    importer = FiftyOneDatasetImporter(str(exported))
    assert importer._is_legacy_format_data()
    importer = importer._to_legacy_importer()  # what from_dir does; it needs no database until a dataset is made
    importer.setup()
    read = list(importer)
    assert [one["image_id"] for one in read] == [one["image_id"] for one in samples(exported)]
    last = read[-1]
    assert last["ground_truth"].label == "defective" and last["score_map"].get_map().shape == (64, 64)
    assert last["ground_truth_mask"].get_mask().any() and Path(last.filepath).is_file()
