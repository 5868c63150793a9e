"""Which good images are looked at."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.core.samples import Manifest, Sample
from benchmark.pipelines.iap.normals import NormalSettings, choose, normals_of, pool


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


def test_the_released_code_draws_ksdd_before_it_looks_and_dagm_from_both_halves() -> None:
    settings = NormalSettings(number=3, pool="released_code", draw="random", seed=111)
    parts = [sample(f"kos01/Part{i}.jpg", defective=i in (2, 5), split="test") for i in range(8)]
    drawn = random.Random(111).sample(sorted(p.id for p in parts), 3)
    expected = [name for name in drawn if name not in ("kos01/Part2.jpg", "kos01/Part5.jpg")]
    found = normals_of(manifest("ksdd1", *parts), "tile", settings, number=3)
    assert [one.id for one in found] == expected and len(expected) < 3
    labelled = [sample(f"Class1/{half}/{i:04d}.PNG", defective=True) for half in ("Test", "Train") for i in range(5)]
    good = [sample(f"Class1/Train/{i:04d}.PNG") for i in range(5, 9)]
    found = normals_of(manifest("dagm", *labelled, *good), "tile", settings, number=3)
    generator = random.Random(111)
    names = [f"{i:04d}.PNG" for i in range(5)]
    assert [one.id for one in found] == [
        f"Class1/{half}/{name}" for half in ("Train", "Test") for name in generator.sample(names, 3)
    ]
    assert all(one.defective for one in found)


def test_other_pools_are_drawn_as_they_are() -> None:
    settings = NormalSettings(number=2, pool="train_first", draw="hash", seed=0)
    assert normals_of(manifest("ksdd1", *ALL), "tile", settings, number=2) == choose(
        pool(manifest("ksdd1", *ALL), "tile", kind="train_first"), settings
    )
