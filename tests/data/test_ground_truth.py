"""Truths from memory are the ones from the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from benchmark.core.memory import Memory
from benchmark.core.samples import GroundTruth, Sample
from benchmark.data.ground_truth import truth_of


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """An image of odd size with a trimap of all three classes."""
    Image.fromarray(np.zeros((7, 13, 3), dtype=np.uint8)).save(tmp_path / "image.png")
    trimap = np.full((7, 13), 2, dtype=np.uint8)
    trimap[2:5, 3:9] = 3
    trimap[3, 4:8] = 1
    Image.fromarray(trimap).save(tmp_path / "mask.png")
    return Sample(
        id="a",
        image=tmp_path / "image.png",
        mask=tmp_path / "mask.png",
        mask_format="trimap",
        defective=True,
        category="c",
        defect_type="d",
        group="a",
        split="test",
        sha256="1",
        mask_sha256="2",
    )


def assert_same(a: GroundTruth, b: GroundTruth) -> None:
    assert a.mask.dtype == b.mask.dtype == np.bool_
    assert np.array_equal(a.mask, b.mask)
    assert (a.ignore is None) == (b.ignore is None)
    if a.ignore is not None and b.ignore is not None:
        assert np.array_equal(a.ignore, b.ignore)


@pytest.mark.parametrize("border", ["ignore", "foreground", "background"])
def test_a_remembered_truth_is_the_one_that_was_read(
    sample: Sample, border: Literal["ignore", "foreground", "background"]
) -> None:
    memory = Memory(1_000_000)
    first = truth_of(sample, threshold=0, border=border, memory=memory)
    assert first.mask.any()
    assert (first.ignore is not None and bool(first.ignore.any())) == (border == "ignore")
    assert sample.mask is not None
    sample.mask.unlink()
    assert_same(truth_of(sample, threshold=0, border=border, memory=memory), first)


def test_what_one_caller_changes_the_next_does_not_see(sample: Sample) -> None:
    memory = Memory(1_000_000)
    first = truth_of(sample, threshold=0, border="ignore", memory=memory)
    count = int(first.mask.sum())
    first.mask[:] = True
    assert int(truth_of(sample, threshold=0, border="ignore", memory=memory).mask.sum()) == count


def test_another_border_or_mask_is_another_truth(sample: Sample) -> None:
    memory = Memory(1_000_000)
    kept = truth_of(sample, threshold=0, border="ignore", memory=memory)
    assert truth_of(sample, threshold=0, border="foreground", memory=memory).mask.sum() > kept.mask.sum()
    good = replace(sample, mask=None, mask_sha256=None, mask_format="grey")
    assert not truth_of(good, threshold=0, border="ignore", memory=memory).mask.any()


def test_a_mask_without_hash_is_read_anew(sample: Sample) -> None:
    memory = Memory(1_000_000)
    truth_of(replace(sample, mask_sha256=None), threshold=0, border="ignore", memory=memory)
    assert memory.held == 0
