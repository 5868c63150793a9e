"""The files of records: what each is read as, the key of its content as it is read, and its size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.core.samples import Reading
from benchmark.data.images import SIDEWAYS
from benchmark.data.index import FileFacts, FileRole
from benchmark.data.masks import size_mismatch
from benchmark.data.records import Record


def content_key(facts: FileFacts, reading: Reading, *, deep: bool) -> str:
    """Return the file's hash, and another one for each other way in which it becomes pixels.

    Args:
        facts: of the file.
        reading: how it is read.
        deep: whether its bits matter, as they do for an image.
    """
    ways = []
    if deep and facts.peak is not None and reading.bits != 16:
        ways.append(f"bits={reading.bits}")
    if reading.upright and facts.orientation != 1:
        ways.append("upright")
    return hashlib.sha256(" ".join([facts.sha256, *ways]).encode()).hexdigest() if ways else facts.sha256


def truth_key(record: Record, mask: str | None, facts: Mapping[str, FileFacts], reading: Reading) -> str | None:
    """Return a hash of what an image's pixel truth is made of; None where it has none of its own."""
    if mask is None:
        return None if record.drawing is None else record.drawing.sha256
    keys = [content_key(facts[name], reading, deep=False) for name in (mask, *record.more_masks)]
    key = keys[0] if len(keys) == 1 else hashlib.sha256(" ".join(keys).encode()).hexdigest()
    return key if record.class_ids is None else hashlib.sha256(f"{key} {record.class_ids}".encode()).hexdigest()


def files_of(records: Sequence[Record]) -> dict[str, FileRole]:
    """Return every file of the records and what it is read as."""
    files: dict[str, FileRole] = {}
    for record in records:
        files[record.image] = "image"
        for mask in record.masks:
            files[mask] = record.mask_format
    return files


def size_problems(root: Path, records: Sequence[Record], facts: Mapping[str, FileFacts], reading: Reading) -> list[str]:
    """Name every mask that has another size than its image."""
    problems = []
    for record in records:
        for name in record.masks:
            image, mask = facts[record.image], facts[name]
            sizes = size_as_read(image, reading), size_as_read(mask, reading)
            if sizes[0] != sizes[1]:
                problem = size_mismatch(root / record.image, sizes[0], root / name, sizes[1])
                if image.orientation != mask.orientation:
                    other = "ignore" if reading.upright else "apply"
                    problem += f"; their EXIF orientations differ: perhaps dataset.exif_orientation={other}"
                problems.append(problem)
    return problems


def size_as_read(facts: FileFacts, reading: Reading) -> tuple[int, int]:
    """Return (width, height) as the file is read."""
    swapped = reading.upright and facts.orientation in SIDEWAYS
    return (facts.height, facts.width) if swapped else (facts.width, facts.height)
