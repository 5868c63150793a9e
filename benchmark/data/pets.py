"""Oxford-IIIT-Pet with cats as the defect: ``images/<Breed>_<n>.jpg``, listed in ``annotations/*.txt``.

The lists decide, never the folder: the archive holds 41 images that no list names, among them a GIF whose trimap has no
foreground. Dogs are the good images; their trimaps mark the dog, so their ground truth is empty instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.core.text import counted
from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, ArchiveSplit, Record, Scan, image_files

_CAT, _DOG = "1", "2"
_SHOWN = 6


class Pets(Dataset):
    """The Oxford-IIIT-Pet data; breeds are the categories."""

    def scan(self, root: Path) -> Scan:
        """Read ``list.txt`` and the two split lists; listed images that are not there are left out and told."""
        lists = {name: root / "annotations" / f"{name}.txt" for name in ("list", "trainval", "test")}
        absent = [
            f"{path}: no such file; the images are indexed by it" for path in lists.values() if not path.is_file()
        ]
        if absent or not (root / "images").is_dir():
            return Scan(records=(), problems=tuple(absent) or (f"{root / 'images'}: no such folder",))
        split_of: dict[str, ArchiveSplit] = {row[0]: "train" for row in _rows(lists["trainval"])}
        split_of |= {row[0]: "test" for row in _rows(lists["test"])}
        there = set(image_files(root / "images"))
        trimaps = root / "annotations" / "trimaps"
        masks = set(image_files(trimaps)) if trimaps.is_dir() else set()
        records: list[Record] = []
        problems: list[str] = []
        rows = _rows(lists["list"])
        for row in rows:
            record = _record(row, split_of, problems, lists["list"])
            if record is None or record.image.removeprefix("images/") not in there:
                continue
            if record.defective and f"{row[0]}.png" not in masks:
                problems.append(f"{root / record.image}: an image without mask; its trimap is {trimaps / row[0]}.png")
            records.append(record)
        notes = _notes(there, [f"{row[0]}.jpg" for row in rows])
        return Scan(records=tuple(records), notes=notes, problems=tuple(problems))


def _rows(path: Path) -> list[list[str]]:
    """Rows ``name class-id species breed-id``; some copies have header lines that start with ``#``, others none."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    return [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _record(row: Sequence[str], split_of: Mapping[str, ArchiveSplit], problems: list[str], path: Path) -> Record | None:
    name = row[0]
    # Cats' breeds are capitalised; the header's "1-25:Cat 1:12:Dog" is the wrong way round, the columns are right.
    if len(row) != 4 or row[2] != (_CAT if name[0].isupper() else _DOG):
        problems.append(f"{path}: the line of {name!r} does not say what its name says; get the file again")
        return None
    cat = row[2] == _CAT
    return Record(
        image=f"images/{name}.jpg",
        mask=f"annotations/trimaps/{name}.png" if cat else None,
        mask_format="trimap",
        defective=cat,
        category=name.rsplit("_", 1)[0],
        defect_type="cat" if cat else GOOD,
        split=split_of.get(name, "all"),
    )


def _notes(there: set[str], listed: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in listed if name not in there]
    unlisted = sorted(there - set(listed))
    told = (
        (missing, counted(len(missing), "listed image is", "listed images are") + " not there"),
        (unlisted, counted(len(unlisted), "image is", "images are") + " in no list and left out"),
    )
    return tuple(
        f"{what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}" for names, what in told if names
    )
