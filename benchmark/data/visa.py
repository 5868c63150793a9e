"""VisA: ``<category>/Data/{Images/{Normal,Anomaly},Masks/Anomaly}``, split by the archive's own ``split_csv/*.csv``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from benchmark.core.text import counted
from benchmark.data.card import EVERY, Card, Count
from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, Record, Scan, image_files

_COUNTS_OF_OTHER_SPLITS = {
    "2cls_fewshot": (
        Count(category=EVERY, split="train", good=1924, defective=240),
        Count(category=EVERY, split="test", good=7697, defective=960),
    ),
    "2cls_highshot": (
        Count(category=EVERY, split="train", good=5773, defective=720),
        Count(category=EVERY, split="test", good=3848, defective=480),
    ),
}


class Visa(Dataset):
    """The VisA data in its own layout; masks hold small class ids, and any of them is defect."""

    split_file: Literal["1cls", "2cls_fewshot", "2cls_highshot"]
    """Which of the archive's split files to follow; ``1cls`` has good images only in train."""

    def scan(self, root: Path) -> Scan:
        """Follow the split file; what it names and is not there is left out and told."""
        path = root / "split_csv" / f"{self.split_file}.csv"
        if not path.is_file():
            return Scan(records=(), problems=(f"{path}: no such file; the archive's split files say what is what",))
        there = _files(root)
        records: list[Record] = []
        missing: list[str] = []
        problems: list[str] = []
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if absent := {"object", "split", "label", "image", "mask"} - set(rows.fieldnames or ()):
                return Scan(records=(), problems=(f"{path}: no column {sorted(absent)[0]!r}; get the file again",))
            for row in rows:
                image, mask = row["image"], row["mask"] or None
                defective = row["label"] == "anomaly"
                if image not in there:
                    missing.append(image)
                    continue
                if defective and (mask is None or mask not in there):
                    problems.append(
                        f"{root / image}: an image without mask; the split file puts it at {root / str(mask)}"
                    )
                    continue
                records.append(
                    Record(
                        image=image,
                        mask=mask if defective else None,
                        mask_format="class_ids",
                        defective=defective,
                        category=row["object"],
                        defect_type="anomaly" if defective else GOOD,
                        split="train" if row["split"] == "train" else "test",
                    )
                )
        notes = (
            (
                f"{counted(len(missing), f'image of {path.name} is', f'images of {path.name} are')} not "
                f"there, {missing[0]} first",
            )
            if missing
            else ()
        )
        records.sort(key=lambda record: record.image)
        return Scan(records=tuple(records), notes=notes, problems=tuple(problems))

    def expected_counts(self, card: Card) -> tuple[Count, ...] | None:
        """Return the card's counts for ``1cls``, and the sums over all categories for the other split files."""
        if self.split_file == "1cls":
            return card.expected(self.categories)
        return _COUNTS_OF_OTHER_SPLITS[self.split_file] if self.categories is None else None


def _files(root: Path) -> set[str]:
    """Every image and mask as the split files write it; listing folders is cheaper than asking name by name."""
    found: set[str] = set()
    for folder in root.glob("*/Data/*/*"):
        if folder.is_dir():
            prefix = folder.relative_to(root).as_posix()
            found.update(f"{prefix}/{name}" for name in image_files(folder))
    return found
