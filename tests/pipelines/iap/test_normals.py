"""Which good images are looked at."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.core.samples import Manifest, Sample
from benchmark.pipelines.iap.normals import NormalSettings, choose, pool


def sample(name: str, *, defective: bool = False, split: str = "train", category: str = "tile") -> Sample:
    return Sample(
        id=name,
        image=Path(name),
        mask=None,
        defective=defective,
        category=category,
        defect_type="good",
        group=name,
        split=split,  # type: ignore[arg-type]
        sha256=f"{name:0>64}",
    )


def manifest(name: str, *samples: Sample) -> Manifest:
    return Manifest(dataset=name, samples=samples)


ALL = (
    sample("t1"),
    sample("t0"),
    sample("g", split="test"),
    sample("d", defective=True, split="test"),
    sample("o", category="other"),
)


@pytest.mark.parametrize(
    ("dataset", "kind", "names"),
    [
        ("mpdd", "train_first", ["t0", "t1"]),
        ("mpdd", "released_code", ["t0", "t1"]),
        ("mvtec", "released_code", ["g"]),
        ("mtd", "released_code", ["g"]),
        ("dagm", "released_code", ["d"]),
        ("dagm", "train_first", ["t0", "t1"]),
    ],
)
def test_the_pool_of_each_dataset(dataset: str, kind: str, names: list[str]) -> None:
    assert [s.id for s in pool(manifest(dataset, *ALL), "tile", kind=kind)] == names  # type: ignore[arg-type]


def test_good_test_images_stand_in_and_defective_ones_never() -> None:
    assert [s.id for s in pool(manifest("x", *ALL[2:]), "tile", kind="train_first")] == ["g"]
    assert pool(manifest("x", ALL[3]), "tile", kind="train_first") == ()


def test_the_choice_by_hash_does_not_depend_on_order_or_names() -> None:
    candidates = [sample(f"{i}") for i in range(30)]
    settings = NormalSettings(number=10, pool="train_first", draw="hash", seed=0)
    first = choose(candidates, settings)
    shuffled = list(candidates)
    random.Random(1).shuffle(shuffled)
    assert choose(shuffled, settings) == first and len(set(first)) == 10
    renamed = [replace(s, id=f"other/{s.id}") for s in candidates]
    assert [s.sha256 for s in choose(renamed, settings)] == [s.sha256 for s in first]
    assert choose(candidates, settings.model_copy(update={"seed": 1})) != first


def test_a_small_pool_is_taken_whole_and_one_image_if_asked() -> None:
    settings = NormalSettings(number=10, pool="train_first", draw="random", seed=111)
    candidates = [sample(f"{i}") for i in range(3)]
    assert sorted(s.id for s in choose(candidates, settings)) == ["0", "1", "2"]
    assert len(choose(candidates, settings, number=1)) == 1
    assert choose([], settings) == ()
