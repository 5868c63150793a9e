"""Splits keep groups whole, are seeded, and draw what they promise."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.errors import DataError
from benchmark.data.card import Count
from benchmark.data.records import Record
from benchmark.data.splits import SplitPolicy, Subset, expected_test, split_records


def record(i: int, *, defective: bool, split: str, group: str | None = None, category: str = "c") -> Record:
    return Record(
        image=f"{category}/{split}/{i}.png",
        mask=None,
        defective=defective,
        category=category,
        defect_type="d" if defective else "good",
        split=split,  # type: ignore[arg-type]
        group=group,
    )


RECORDS = [
    *(record(i, defective=False, split="train") for i in range(10)),
    *(record(i, defective=False, split="test") for i in range(10, 14)),
    *(record(i, defective=True, split="test") for i in range(14, 22)),
]
COUNTS = (
    Count(category="c", split="train", good=10, defective=0),
    Count(category="c", split="test", good=4, defective=8),
)


def split(
    policy: SplitPolicy, *, seed: int = 0, include_good: bool = True, subset: Subset | None = None
) -> list[Record]:
    return split_records(RECORDS, policy=policy, seed=seed, include_good=include_good, subset=subset)


@pytest.mark.parametrize(
    ("policy", "include_good", "train", "good", "defective"),
    [
        ("official", True, 10, 4, 8),
        ("official", False, 10, 0, 8),
        ("train", True, 0, 10, 0),
        ("all", True, 0, 14, 8),
        # Good images of the train folder stay there for pipelines that need a reference.
        ("all", False, 10, 0, 8),
        # 20 % of 10 and of 8, the latter rounded half up from 1.6; test/good is left out.
        ("holdout20", True, 14, 2, 2),
    ],
)
def test_policies(policy: SplitPolicy, include_good: bool, train: int, good: int, defective: int) -> None:
    found = Counter((r.split, r.defective) for r in split(policy, include_good=include_good))
    assert (found["test", False], found["test", True]) == (good, defective)
    assert found["train", False] + found["train", True] == train
    assert expected_test(COUNTS, policy=policy, include_good=include_good, subset=None) == good + defective


def test_subset_is_seeded_and_never_smaller_than_asked() -> None:
    drawn = [split("all", subset=Subset(good=3, defective=2, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert Counter(r.defective for r in drawn[0]) == {False: 3, True: 2}
    with pytest.raises(DataError, match="asks for 9 defective images and there are 8"):
        split("all", subset=Subset(good=3, defective=9, seed=0))


def test_a_drawn_image_does_not_depend_on_the_others() -> None:
    """Adding an image moves at most one drawn image, because each is ranked by its own name."""
    before = {r.image for r in split("all", subset=Subset(good=5, defective=3, seed=0))}
    more = [*RECORDS, record(99, defective=False, split="train")]
    chosen = split_records(more, policy="all", seed=0, include_good=True, subset=Subset(good=5, defective=3, seed=0))
    assert len(before - {r.image for r in chosen}) <= 1


@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=40),
    seed=st.integers(0, 5),
)
def test_holdout_never_splits_a_group(sizes: list[tuple[int, bool, str]], seed: int) -> None:
    records = [
        record(100 * g + i, defective=defective and i == 0, split="all", group=f"g{g}", category=category)
        for g, (size, defective, category) in enumerate(sizes)
        for i in range(size)
    ]
    chosen = split_records(records, policy="holdout20", seed=seed, include_good=True, subset=None)
    assert len(chosen) == len(records)
    for g in range(len(sizes)):
        assert len({r.split for r in chosen if r.group == f"g{g}"}) == 1
    assert sum(r.split == "test" for r in chosen) <= 0.2 * len(records) + 4 * 0.5


def test_holdout_of_single_images_is_exact() -> None:
    """Without groups, 20 % rounded half up of each category and label: the arithmetic behind 253 and 76."""
    for good, wanted in ((280, 56), (264, 53), (245, 49), (230, 46), (247, 49), (89, 18), (57, 11), (92, 18)):
        records = [record(i, defective=False, split="train") for i in range(good)]
        chosen = split_records(records, policy="holdout20", seed=3, include_good=True, subset=None)
        assert sum(r.split == "test" for r in chosen) == wanted
