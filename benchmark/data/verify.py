"""Checking a dataset's folder against its card: counts, every image decoded, every mask of its image's size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.core.errors import DataError
from benchmark.core.progress import track
from benchmark.data.card import EVERY, Card, Difference, unexpected_categories
from benchmark.data.dataset import Dataset, files_of, size_problems
from benchmark.data.images import load_image, load_levels
from benchmark.data.index import FileRole, file_facts
from benchmark.data.records import Record

_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class CountRow:
    """One line of the count table."""

    category: str
    split: str
    label: str
    expected: int | None
    """None where the card does not say."""
    found: int

    @property
    def remark(self) -> str:
        """What is wrong with the count, empty when it is right."""
        if self.expected is None or self.expected == self.found:
            return ""
        gap = self.expected - self.found
        return f"{gap} missing" if gap > 0 else f"{-gap} too many"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found in a dataset's folder."""

    root: Path
    rows: tuple[CountRow, ...]
    problems: tuple[str, ...]
    """Each names a file and what to do."""
    notes: tuple[str, ...]
    n_images: int
    n_masks: int

    @property
    def ok(self) -> bool:
        """Whether the folder is what the card says, and every file can be read."""
        return not self.problems and not any(row.remark for row in self.rows)


def verify(settings: Dataset, card: Card, data_root: Path) -> Verification:
    """Check the whole dataset, whatever part of it the settings choose.

    Every image and mask is decoded in full, which an index does not do.

    Raises:
        DataError: the folder is not there.
    """
    whole = settings.model_copy(update={"categories": None, "allow_partial": True})
    root = whole.locate(data_root)
    scan = whole.scan(root)
    problems = list(scan.problems)
    unreadable = dict(_decode(root, files_of(scan.records)))
    problems += unreadable.values()
    readable = [r for r in scan.records if r.image not in unreadable and r.mask not in unreadable]
    facts = file_facts(root, files_of(readable))
    problems += size_problems(root, readable, facts)
    refined = whole.refine(readable, facts)
    problems += refined.problems
    # A damaged file is a problem of its own, and still there: only labels that masks decide need readable ones.
    counted = refined.records if whole.labels_from_masks else scan.records
    return Verification(
        root=root,
        rows=tuple(_rows(card, counted, whole.differences(card, counted))),
        problems=tuple(problems),
        notes=(*scan.notes, *refined.notes),
        n_images=len(scan.records),
        n_masks=sum(record.mask is not None for record in scan.records),
    )


def _decode(root: Path, files: dict[str, FileRole]) -> Iterator[tuple[str, str]]:
    """Decode every file and yield the name and problem of each that cannot be."""
    names = list(files)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = (
            pair
            for start in range(0, len(names), _BATCH)
            for pair in zip(
                names[start : start + _BATCH],
                pool.map(partial(_problem, root, files), names[start : start + _BATCH]),
                strict=True,
            )
        )
        for name, problem in track(found, f"Decoding {root.name}", total=len(names)):
            if problem is not None:
                yield name, problem


def _problem(root: Path, files: dict[str, FileRole], name: str) -> str | None:
    role = files[name]
    try:
        if role == "image":
            load_image(root / name)
        else:
            load_levels(root / name, mask_format=role)
    except DataError as error:
        return str(error)
    return None


def _rows(card: Card, records: Sequence[Record], differences: Sequence[Difference]) -> Iterator[CountRow]:
    """Every count of the card beside what was found, then what the card does not know."""
    wrong: dict[tuple[str, str, str], int] = {(d.category, d.split, d.label): d.found for d in differences}
    for count in card.counts:
        for label, expected in (("good", count.good), ("defective", count.defective)):
            found = wrong.get((count.category, count.split, label), expected)
            if expected or found:
                yield CountRow(category=count.category, split=count.split, label=label, expected=expected, found=found)
    for extra in unexpected_categories(card, records):
        yield CountRow(category=extra.category, split=extra.split, label=extra.label, expected=0, found=extra.found)
    known = {count.split for count in card.counts}
    uncounted = Counter((r.split, r.defective) for r in records if r.split not in known)
    for (split, defective), found in sorted(uncounted.items()):
        label = "defective" if defective else "good"
        yield CountRow(category=EVERY, split=split, label=label, expected=None, found=found)
