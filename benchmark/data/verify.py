"""Checking a dataset's folder: counts, every image decoded, every mask of its image's size and worth its name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.core.errors import DataError
from benchmark.core.progress import track
from benchmark.core.samples import Reading
from benchmark.data.card import EVERY, Card, Difference, unexpected_categories
from benchmark.data.dataset import Dataset
from benchmark.data.draw import draw
from benchmark.data.images import load_image
from benchmark.data.index import FileFacts, FileRole, file_facts
from benchmark.data.masks import load_levels
from benchmark.data.record_files import files_of, size_as_read, size_problems
from benchmark.data.records import Record

_BATCH = 512
MOST_MARKED = 0.5
"""A mask that marks a larger part is asked about."""


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
    records: tuple[Record, ...]
    reading: Reading
    """How a run reads the files."""

    @property
    def n_images(self) -> int:
        """Images that were found."""
        return len(self.records)

    @property
    def n_masks(self) -> int:
        """Masks that were found, those that are drawn as shapes among them."""
        return sum(record.located for record in self.records)

    @property
    def ok(self) -> bool:
        """Whether every file can be read and used, and the counts are the card's where there is one."""
        return not self.problems and not any(row.remark for row in self.rows)


def verify(settings: Dataset, card: Card | None, data_root: Path) -> Verification:
    """Check the whole dataset, whatever part of it the settings choose.

    Every image and mask is decoded in full, which an index does not do. Notes tell of what can be used and may be
    meant otherwise: images of which test and training hold a copy each, masks that mark nothing or most of an image.

    Args:
        settings: of the dataset option.
        card: None for data of the user's own.
        data_root: folder that holds one folder for each dataset.

    Raises:
        DataError: the folder is not there.
    """
    whole = settings.model_copy(update={"categories": None, "allow_partial": True})
    root = whole.locate(data_root)
    scan = whole.scan(root)
    problems = list(scan.problems)
    if not scan.records and not problems:
        problems.append(whole.no_image(root, card))
    files = files_of(scan.records)
    unreadable: dict[str, str] = {}
    marked: dict[str, float] = {}
    for name, found in _decode(root, files):
        if isinstance(found, str):
            unreadable[name] = found
        elif files[name] == "grey":
            marked[name] = found
    problems += unreadable.values()
    readable = [r for r in scan.records if unreadable.keys().isdisjoint((r.image, *r.masks))]
    facts = file_facts(root, files_of(readable))
    reading, reading_notes = settings.reading(readable, facts)
    problems += size_problems(root, readable, facts, reading)
    marked |= _drawn(readable, facts, reading)
    refined = whole.refine(readable, facts)
    problems += refined.problems
    # A damaged file is a problem of its own, and still there: only labels that masks decide need readable ones.
    counted = refined.records if whole.labels_from_masks else scan.records
    return Verification(
        root=root,
        rows=tuple(_rows(card, counted, whole.differences(card, counted)) if card else _own_rows(counted)),
        problems=tuple(problems),
        notes=(*scan.notes, *refined.notes, *reading_notes, *_copies(readable, facts), *_odd_masks(readable, marked)),
        records=scan.records,
        reading=reading,
    )


def _copies(records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Iterator[str]:
    """Yield test images whose bytes a training image has too."""
    trained = {facts[r.image].sha256: r.image for r in records if r.split == "train"}
    for record in records:
        twin = trained.get(facts[record.image].sha256) if record.split == "test" else None
        if twin is not None:
            yield f"{record.image} is the training image {twin} again: what learns from good images has seen it"


def _drawn(records: Sequence[Record], facts: Mapping[str, FileFacts], reading: Reading) -> dict[str, float]:
    """Return the part of its image that each drawing marks, by the place where it is written."""
    found = {}
    for record in records:
        if record.drawing is not None:
            width, height = size_as_read(facts[record.image], reading)
            found[record.drawing.where] = float(draw(record.drawing, (height, width))[0].mean())
    return found


def _odd_masks(records: Sequence[Record], marked: Mapping[str, float]) -> Iterator[str]:
    """Yield masks that mark nothing, or so much that black and white may be exchanged."""
    for record in records:
        where = record.mask if record.drawing is None else record.drawing.where
        share = marked.get(where or "") if record.defective or record.drawing is None else None
        if share == 0.0:
            yield f"{where}: marks nothing, so the image counts as defective without a place"
        elif share is not None and share > MOST_MARKED:
            ask = "is it inverted? White is the defect" if record.mask else "does it outline the part, not its defect?"
            yield f"{where}: marks {share:.0%} of the image; {ask}"


def _own_rows(records: Sequence[Record]) -> Iterator[CountRow]:
    counts = Counter((r.category, r.split, r.defect_type) for r in records)
    for (category, split, label), found in sorted(counts.items()):
        yield CountRow(category=category, split=split, label=label, expected=None, found=found)


def _decode(root: Path, files: dict[str, FileRole]) -> Iterator[tuple[str, str | float]]:
    """Decode every file and yield its name with its problem, or with the part of a mask that is not 0; image: 0."""
    names = list(files)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = (
            pair
            for start in range(0, len(names), _BATCH)
            for pair in zip(
                names[start : start + _BATCH],
                pool.map(partial(_decoded, root, files), names[start : start + _BATCH]),
                strict=True,
            )
        )
        yield from track(found, f"Decoding {root.name}", total=len(names))


def _decoded(root: Path, files: dict[str, FileRole], name: str) -> str | float:
    role = files[name]
    try:
        if role == "image":
            load_image(root / name)
            return 0.0
        return float((load_levels(root / name, mask_format=role) > 0).mean())
    except DataError as error:
        return str(error)


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
    if card.total is not None:
        number = sum(r.split != "train" for r in records)
        yield CountRow(category=EVERY, split="test", label="good or defective", expected=card.total, found=number)
    known = {count.split for count in card.counts}
    uncounted = Counter((r.split, r.defective) for r in records if r.split not in known)
    for (split, defective), found in sorted(uncounted.items()):
        label = "defective" if defective else "good"
        yield CountRow(category=EVERY, split=split, label=label, expected=None, found=found)
