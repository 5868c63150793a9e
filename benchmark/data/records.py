"""What an indexer finds in a dataset's folder, and how folders are listed and masks are paired."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from benchmark.core.drawings import ClassIds, Drawing
from benchmark.core.questions import Questions
from benchmark.core.samples import MaskFormat
from benchmark.core.text import counted
from benchmark.data.images import EXTENSIONS

ArchiveSplit = Literal["train", "test", "all"]
"""Where the archive itself puts an image; ``all`` where it has no split."""

_DOCUMENTS = frozenset(
    {".txt", ".md", ".pdf", ".yaml", ".yml", ".json", ".csv", ".html", ".xml"} | {".zip", ".tar", ".xz", ".gz"}
)
GOOD = "good"
"""Defect type of good images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image that an indexer found; file contents have not been read."""

    image: str
    """Path relative to the dataset root, with forward slashes."""
    mask: str | None
    more_masks: tuple[str, ...] = ()
    """Further masks of the same image; what any of them marks is defect."""
    mask_format: MaskFormat = "grey"
    defective: bool
    category: str
    defect_type: str
    split: ArchiveSplit
    group: str | None = None
    """None: the image stands alone."""
    drawing: Drawing | None = None
    """Shapes in place of a mask file."""
    class_ids: ClassIds | None = None
    """Which numbers of a ``class_ids`` mask are defects; None: all but 0."""
    questions: Questions | None = None
    """What a model is asked about the image; None: nothing."""

    @property
    def masks(self) -> tuple[str, ...]:
        """Every mask file of the image."""
        return self.more_masks if self.mask is None else (self.mask, *self.more_masks)

    @property
    def located(self) -> bool:
        """Whether it is known where the image is defective."""
        return self.mask is not None or self.drawing is not None


def unlabelled_record(name: str, category: str) -> Record:
    """Return an image of which nobody says what it is: not good, so that nothing is learnt from it."""
    return Record(image=name, mask=None, defective=True, category=category, defect_type="unknown", split="test")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Everything that an indexer found."""

    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why; a reader of the result must know it."""
    problems: tuple[str, ...] = ()
    """What cannot be used as it is: each names the file and what to do."""


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Which mask belongs to which image of one folder."""

    mask_of: Mapping[str, str]
    """Image name -> mask name; images without a mask are left out."""
    problems: tuple[str, ...]


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``Class2`` before ``Class10``."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def folders(root: Path) -> list[str]:
    """Names of the sub-folders in natural order, without hidden ones and ``__MACOSX``."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not _is_junk(entry.name)]
    return sorted(names, key=natural)


def image_files(folder: Path) -> list[str]:
    """Names of everything right in ``folder`` that is named like an image, sorted, without hidden files.

    Broken links, folders and pipes are among them: whoever reads one says what it is.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _ending(entry.name) in EXTENSIONS and not _is_junk(entry.name)]
    return sorted(names)


def plain_records(
    root: Path, folder: str, *, category: str, split: ArchiveSplit, defect_type: str, problems: list[str]
) -> list[Record]:
    """List the images of a folder, without masks; one that is missing or empty is a problem.

    Args:
        root: dataset folder.
        folder: below it.
        category: of all images in the folder.
        split: of all images in the folder.
        defect_type: of all images in the folder, ``good`` among them.
        problems: to which is added what is wrong.
    """
    names = image_files(root / folder) if (root / folder).is_dir() else []
    if not names:
        problems.append(f"{root / folder}: no image in it; get the dataset again, or put the images there")
    return [
        Record(
            image=f"{folder}/{name}",
            mask=None,
            defective=defect_type != GOOD,
            category=category,
            defect_type=defect_type,
            split=split,
        )
        for name in names
    ]


def training_records(
    root: Path, category: str, *, validation: Literal["leave_out", "train"], problems: list[str]
) -> list[Record]:
    """List a category's good training images, and its validation images where they may be learnt from."""
    parts = ("train", "validation") if validation == "train" else ("train",)
    folders = [f"{category}/{part}/good" for part in parts]
    return [
        record
        for folder in folders
        for record in plain_records(root, folder, category=category, split="train", defect_type=GOOD, problems=problems)
    ]


def unused_files(root: Path, used: Iterable[str]) -> list[str]:
    """Tell, folder by folder, of files below ``root`` that are not used, with their number and the first name.

    Hidden files, what systems put into folders, and documents that lie beside the folders of images are not named.

    Args:
        root: dataset folder.
        used: paths relative to it.
    """
    taken = set(used)
    holds = {name.rpartition("/")[0] for name in taken}
    left: dict[str, list[str]] = {}
    for folder, inner, names in os.walk(root, followlinks=False):
        inner[:] = sorted((name for name in inner if not _is_junk(name)), key=natural)
        place = Path(folder).relative_to(root).as_posix()
        prefix = "" if place == "." else f"{place}/"
        for name in sorted(names):
            document = prefix.rstrip("/") not in holds and _ending(name) in _DOCUMENTS
            if prefix + name not in taken and not _is_junk(name) and not document:
                left.setdefault(place, []).append(name)
    return [
        f"{place}: {counted(len(names), 'file')} not used, the first is {names[0]}" for place, names in left.items()
    ]


def pair(
    images: Path,
    image_names: Sequence[str],
    masks: Path,
    mask_names: Sequence[str],
    *,
    suffixes: Sequence[str],
    needed: bool = True,
) -> Pairing:
    """Pair every image with its mask by stem, never by position; ``é`` is one letter, whichever way it is composed.

    Problems are an image without mask, a mask without image, and two files of one stem, where a pairing by name would
    be a guess.

    Args:
        images: folder of the images, named in problems; ``masks`` likewise.
        image_names: file names of the images.
        mask_names: file names of all masks.
        suffixes: what a mask's stem has behind its image's stem, the usual one first (``_mask``, or nothing).
        needed: whether every image must have a mask.
    """
    problems: list[str] = []
    mask_by_stem = _by_stem(masks, mask_names, problems)
    mask_of: dict[str, str] = {}
    for stem, name in _by_stem(images, image_names, problems).items():
        known = (mask_by_stem.get(normalize("NFC", stem + suffix)) for suffix in suffixes)
        mask = next((mask for mask in known if mask is not None), None)
        if mask is not None:
            mask_of[name] = mask
        elif needed:
            wanted = masks / f"{stem}{suffixes[0]}.*"
            problems.append(f"{images / name}: an image without mask; put its mask at {wanted}, or move the image")
    used = set(mask_of.values())
    left = [name for name in mask_names if name not in used]
    stems = {normalize("NFC", name.rpartition(".")[0]) for name in image_names}
    ends = {_end(normalize("NFC", name.rpartition(".")[0]), stems) for name in left}
    if len(ends) == 1 and (end := ends.pop()):
        problems.append(
            f"{masks / left[0]}: {counted(len(left), 'mask is', 'masks are')} called like an image with "
            f"{end!r} behind its name; say "
            f"dataset.mask_suffixes=[{end}], or rename them"
        )
        return Pairing(mask_of=mask_of, problems=tuple(problems))
    problems += [
        f"{masks / name}: a mask without image; put its image into {images}, or remove the mask" for name in left
    ]
    return Pairing(mask_of=mask_of, problems=tuple(problems))


def _end(stem: str, stems: Collection[str]) -> str:
    """Return what stands behind the longest of some stems that a stem begins with; "" where it begins with none."""
    begins = max((s for s in stems if stem.startswith(s)), key=len, default=stem)
    return stem[len(begins) :]


def _by_stem(folder: Path, names: Iterable[str], problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        stem = normalize("NFC", name.rpartition(".")[0])
        if stem in found:
            problems.append(f"{folder}: {found[stem]} and {name} have the same stem {stem!r}; keep one of them")
        else:
            found[stem] = name
    return found


def has_data(folder: Path) -> bool:
    """Whether a dataset's folder holds anything but its card and hidden files."""
    with os.scandir(folder) as entries:
        return any(entry.name != "card.yaml" and not _is_junk(entry.name) for entry in entries)


def missing_data(folder: Path, dataset: str) -> str:
    """Say that a dataset is not there, and how to get it there."""
    what = "no data in it" if folder.is_dir() else "no such folder"
    if dataset == "folder":
        return f"{folder}: {what}; give the folder of your own images as dataset.path=<folder>"
    return (
        f"{folder}: {what}. Run `make data DATASET={dataset}` to get the data, "
        f"or say where it lies: run.data_root=<folder that holds {folder.name}/> or dataset.path=<folder>"
    )


def _is_junk(name: str) -> bool:
    """Hidden files, macOS resource forks and its folder in zip archives, what Windows keeps of a folder."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _ending(name: str) -> str:
    """``.png`` of ``a.PNG``; like ``Path.suffix``, at a tenth of its cost for every file of a listing."""
    _, dot, ending = name.rpartition(".")
    return (dot + ending).lower()
