"""The indexers on real data: the traps that a generated tree could only imitate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.data.images import load_image
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset

pytestmark = pytest.mark.realdata

DEFECTIVE_PARTS = {
    "kos01/Part5": 1143,
    "kos13/Part3": 1364,
    "kos20/Part4": 3692,
    "kos21/Part5": 3712,
    "kos26/Part5": 1706,
    "kos27/Part0": 4087,
    "kos34/Part0": 2988,
    "kos38/Part0": 6275,
    "kos38/Part1": 3006,
    "kos39/Part6": 2604,
    "kos39/Part7": 4162,
    "kos45/Part3": 4959,
}


def test_pets(real_data: Path) -> None:
    manifest = dataset("pets").manifest(real_data)
    assert Counter(s.defective for s in manifest.test) == {False: 140, True: 60}
    assert manifest.expected_test == 200
    assert manifest.categories == ("pets",)
    names = {Path(s.id).stem for s in manifest.samples}
    assert names.isdisjoint({"Abyssinian_34", "Abyssinian_82", "Abyssinian_100", "._Abyssinian_1"})
    assert "Abyssinian_5" in names
    assert any("Abyssinian_34.jpg, Abyssinian_82.jpg" in note for note in manifest.notes)
    assert any("the subset was drawn from partial data" in note for note in manifest.notes)


def test_every_listed_pet_is_read_and_dogs_have_no_truth(real_data: Path) -> None:
    fractions: list[float] = []
    pixels = Counter[str]()
    for sample in dataset("pets").manifest(real_data).test:
        image = load_image(sample.image)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        truth = load_truth(sample, shape=image.shape[:2], border="ignore")
        if not sample.defective:
            assert not truth.mask.any()
            continue
        assert truth.ignore is not None
        pixels["foreground"] += int(truth.mask.sum())
        pixels["border"] += int(truth.ignore.sum())
        fractions.append(float(truth.mask.sum() / (truth.mask | truth.ignore).sum()))
    assert pixels == {"foreground": 2112489, "border": 1044245}
    assert np.mean(fractions) == pytest.approx(0.6502, abs=5e-5)


def test_pets_whole_needs_leave_to_be_partial(real_data: Path) -> None:
    with pytest.raises(DataError, match=r"allow_partial=true"):
        dataset("pets_full").manifest(real_data)
    manifest = dataset("pets_full", allow_partial=True, split="official").manifest(real_data)
    assert (len(manifest.train), len(manifest.test), manifest.expected_test) == (99, 101, 3669)


def test_ksdd1(real_data: Path) -> None:
    with pytest.raises(DataError, match=r"kolektorsdd|ksdd1.*allow_partial=true"):
        dataset("ksdd1").manifest(real_data)
    manifest = dataset("ksdd1", allow_partial=True).manifest(real_data)
    assert Counter(s.defective for s in manifest.test) == {False: 67, True: 12}
    assert manifest.expected_test == 399
    assert {s.id.removesuffix(".jpg") for s in manifest.test if s.defective} == set(DEFECTIVE_PARTS)
    notes = " | ".join(manifest.notes)
    assert "kos13/kos08: a folder inside an item" in notes
    assert "kos21/Part7.jpg: a byte copy of kos21/Part6.jpg" in notes
    groups = {s.id[:5]: s.group for s in manifest.test}
    assert groups["kos01"] == groups["kos26"] != groups["kos27"] == groups["kos34"]
    assert len(set(groups.values())) == 8
    kept = dataset("ksdd1", allow_partial=True, duplicates="keep").manifest(real_data)
    assert (len(kept.test), sum(s.defective for s in kept.test)) == (80, 12)


def test_ksdd1_masks(real_data: Path) -> None:
    for sample in dataset("ksdd1", allow_partial=True).manifest(real_data).test:
        if not sample.defective:
            continue
        shape = load_image(sample.image).shape[:2]
        part = sample.id.removesuffix(".jpg")
        assert load_truth(sample, shape=shape).mask.sum() == DEFECTIVE_PARTS[part]
        if part == "kos20/Part4":
            assert load_truth(sample, shape=shape, threshold=128).mask.sum() == 3690


def test_ksdd1_with_one_partner_only(real_data: Path) -> None:
    manifest = dataset("ksdd1", categories=["kos26", "kos27"]).manifest(real_data)
    assert {s.group for s in manifest.test} == {"kos26", "kos27"}
    assert len(manifest.test) == 16


def test_ksdd1_by_item_and_in_thirds(real_data: Path) -> None:
    items = dataset("ksdd1_items", allow_partial=True).manifest(real_data)
    assert len(items.categories) == 10
    assert all(any(s.defective for s in items.test if s.category == c) for c in items.categories)
    thirds = dataset("ksdd1_thirds", allow_partial=True, subset=None).manifest(real_data)
    assert len(thirds.test) == 3 * 79
    assert sum(s.defective for s in thirds.test) >= 12
    pixels = 0
    for sample in thirds.test:
        shape = load_image(sample.image).shape[:2]
        pixels += int(load_truth(sample, shape=shape).mask.sum())
    assert pixels == sum(DEFECTIVE_PARTS.values())
    again = dataset("ksdd1_thirds", allow_partial=True, subset=None).manifest(real_data)
    assert again.fingerprint == thirds.fingerprint
