"""What an indexer finds in a dataset's folder, and how folders are listed and masks are paired."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from benchmark.data.images import EXTENSIONS
from benchmark.errors import DataError
from benchmark.samples import MaskFormat

ArchiveSplit = Literal["train", "test", "all"]
"""Where the archive itself puts an image; ``all`` where it has no split."""

GOOD = "good"
"""Defect type of good images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image that an indexer found; file contents have not been read."""

    image: str
    """Path relative to the dataset root, with forward slashes."""
    mask: str | None
    mask_format: MaskFormat = "grey"
    defective: bool
    category: str
    defect_type: str
    split: ArchiveSplit
    group: str | None = None
    """None: the image stands alone."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Everything that an indexer found."""

    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why; a reader of the result must know it."""


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``Class2`` before ``Class10``."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def folders(root: Path) -> list[str]:
    """Names of the sub-folders in natural order, without hidden ones and ``__MACOSX``."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not _is_junk(entry.name)]
    return sorted(names, key=natural)


def image_files(folder: Path) -> list[str]:
    """Names of the image files right in ``folder``, sorted; junk files and other types are skipped."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not _is_junk(e.name) and _ending(e.name) in EXTENSIONS and e.is_file()]
    return sorted(names)


def subfolder(folder: Path, *names: str) -> Path | None:
    """Return the first of ``names`` that is a folder below ``folder``, or None."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def by_stem(folder: Path, names: Iterable[str], *, stem_of: Callable[[str], str] | None = None) -> dict[str, str]:
    """Map each file's stem to its name.

    Raises:
        DataError: two files share one stem, so that a pairing by name would be a guess.
    """
    found: dict[str, str] = {}
    for name in names:
        stem = PurePosixPath(name).stem if stem_of is None else stem_of(name)
        if stem in found:
            raise DataError(f"{folder}: {found[stem]} and {name} have the same stem {stem!r}; keep one of them")
        found[stem] = name
    return found


def pair(
    images: Path, image_names: Sequence[str], masks: Path, mask_names: Sequence[str], *, suffixes: Sequence[str]
) -> dict[str, str]:
    """Pair every image with its mask by stem, never by position: image name -> mask name.

    Args:
        images: folder of the images, named in errors; ``masks`` likewise.
        image_names: file names, all defective; ``mask_names`` likewise.
        suffixes: what a mask's stem has behind its image's stem, the usual one first (``_mask``, or nothing).

    Raises:
        DataError: an image without mask, a mask without image, or two files of one stem.
    """
    mask_of = by_stem(masks, mask_names)
    paired: dict[str, str] = {}
    used: set[str] = set()
    for stem, name in by_stem(images, image_names).items():
        mask = next((mask_of[stem + suffix] for suffix in suffixes if stem + suffix in mask_of), None)
        if mask is None:
            wanted = masks / f"{stem}{suffixes[0]}.*"
            raise DataError(f"{images / name}: a defective image without mask; put its mask at {wanted}, or move it")
        paired[name] = mask
        used.add(mask)
    for name in mask_names:
        if name not in used:
            raise DataError(f"{masks / name}: a mask without image; put its image into {images}, or remove the mask")
    return paired


def missing_data(folder: Path, dataset: str) -> str:
    """Say that a dataset's folder is not there, and how to get it there."""
    return (
        f"{folder}: no such folder. Run `make data DATASET={dataset}` to get the data, "
        f"or say where it lies: run.data_root=<folder that holds {folder.name}/> or dataset.path=<folder>"
    )


def _is_junk(name: str) -> bool:
    """macOS resource forks, hidden files, and the folder that macOS puts into zip archives."""
    return name.startswith(".") or name == "__MACOSX"


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  # called for every file of a listing
