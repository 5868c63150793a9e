"""Which images are predicted and scored, and which ones a pipeline may learn from.

Every choice ranks groups by a hash of seed and group name: the same on every machine and for every library version,
and not moved by an image that is added elsewhere.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from benchmark.core.errors import DataError
from benchmark.core.settings import Settings
from benchmark.core.text import counted
from benchmark.data.card import EVERY, Count
from benchmark.data.records import Record

SplitPolicy = Literal["official", "train", "all", "holdout20"]
"""
* ``official``: as the archive says; where it has no split, everything is test.
* ``train``: the archive's train folder is scored and its test folder left out (one published KSDD2 protocol).
* ``all``: everything is scored, train folder included.
* ``holdout20``: the pool is train/good and test/defective, test/good is left out; 20 % of each category and label,
  rounded half up, are scored and the rest is train. It is a reading of a paper that publishes neither seed nor file
  list: it gives exactly its 253 good and 76 defective images on the five MVTec textures.
"""

HOLDOUT_PERCENT = 20


class Subset(Settings):
    """A seeded draw from the images that would be scored."""

    good: int = Field(ge=0)
    defective: int = Field(ge=0)
    seed: int = Field(ge=0)


def split_records(
    records: Sequence[Record], *, policy: SplitPolicy, seed: int, include_good: bool, subset: Subset | None
) -> list[Record]:
    """Give every record the split ``train`` or ``test``, and drop those that are in neither; order is kept.

    Without ``include_good`` no good image is scored; those of the archive's train folder stay train.

    Raises:
        DataError: ``subset`` asks for more images than there are.
    """
    if policy == "holdout20":
        records = _holdout(records, seed)
    elif policy == "train":
        records = [replace(r, split="test") for r in records if r.split == "train"]
    elif policy == "all":
        keep_train = not include_good
        records = [r if keep_train and r.split == "train" and not r.defective else _test(r) for r in records]
    else:
        records = [_test(r) if r.split == "all" else r for r in records]
    if not include_good:
        records = [r for r in records if r.split == "train" or r.defective]
    return records if subset is None else _draw(records, subset)


def expected_test(
    counts: Iterable[Count], *, policy: SplitPolicy, include_good: bool, subset: Subset | None
) -> int | None:
    """Return how many test samples complete data would give; None where the counts are too coarse to say."""
    if subset is not None:
        return subset.good * include_good + subset.defective
    counts = list(counts)
    if policy == "holdout20":
        if any(c.category == EVERY for c in counts):
            return None
        good = sum(_share(c.good) for c in counts if c.split != "test")
        return good * include_good + sum(_share(c.defective) for c in counts if c.split != "train")
    kept = [c for c in counts if policy == "all" or (c.split == "train") == (policy == "train")]
    return sum(c.good * include_good + c.defective for c in kept)


def _holdout(records: Sequence[Record], seed: int) -> list[Record]:
    pool = [r for r in records if r.split == "all" or (r.split == "test") == r.defective]
    groups = _groups(pool)
    strata: dict[tuple[str, bool], dict[str, list[Record]]] = defaultdict(dict)
    for name, members in groups.items():
        # A group that holds a defect counts as defective: it goes where that image goes, as a whole.
        first = next((r for r in members if r.defective), members[0])
        strata[first.category, first.defective][name] = members
    chosen: set[str] = set()
    for stratum in strata.values():
        chosen |= _take(stratum, _share(sum(map(len, stratum.values()))), seed)
    return [replace(r, split="test" if (r.group or r.image) in chosen else "train") for r in pool]


def _draw(records: Sequence[Record], subset: Subset) -> list[Record]:
    """Keep the drawn test records; single images are drawn, and no group is split because the rest is dropped."""
    kept: set[str] = set()
    for defective, wanted in ((False, subset.good), (True, subset.defective)):
        there = [r.image for r in records if r.split == "test" and r.defective == defective]
        if len(there) < wanted:
            label = "defective" if defective else "good"
            raise DataError(
                f"the subset asks for {counted(wanted, f'{label} image')} and there are {len(there)}; "
                "get the rest of the data, or lower dataset.subset"
            )
        kept.update(sorted(there, key=lambda name: _rank(subset.seed, name))[:wanted])
    return [r for r in records if r.split == "train" or r.image in kept]


def _take(groups: dict[str, list[Record]], wanted: int, seed: int) -> set[str]:
    """Choose whole groups in hash order up to ``wanted`` images; one that would overshoot is passed over."""
    chosen: set[str] = set()
    total = 0
    for name in sorted(groups, key=lambda group: _rank(seed, group)):
        if total + len(groups[name]) <= wanted:
            chosen.add(name)
            total += len(groups[name])
    return chosen


def _groups(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.group or record.image].append(record)
    return groups


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()


def _share(count: int) -> int:
    """HOLDOUT_PERCENT of ``count``, rounded half up, in integers."""
    return (count * HOLDOUT_PERCENT + 50) // 100


def _test(record: Record) -> Record:
    return record if record.split == "test" else replace(record, split="test")
