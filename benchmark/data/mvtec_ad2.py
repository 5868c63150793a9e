"""MVTec AD 2: ``<category>/{train,validation}/good``, ``test_public/{good,bad,ground_truth}``, private test images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmark.core.errors import DataError
from benchmark.core.samples import Manifest
from benchmark.data.dataset import Dataset
from benchmark.data.index import file_facts
from benchmark.data.records import (
    GOOD,
    Record,
    Scan,
    folders,
    image_files,
    pair,
    plain_records,
    training_records,
    unlabelled_record,
)

PRIVATE = ("test_private", "test_private_mixed")
"""Test folders whose truth only the benchmark's server has."""


class MvtecAd2(Dataset):
    """The MVTec AD 2 data, scored on the public test images."""

    validation: Literal["leave_out", "train"]
    """Whether the good validation images may be learnt from."""

    def scan(self, root: Path) -> Scan:
        """List all categories; unpaired images and masks are problems. Exposures of one object are one group."""
        records: list[Record] = []
        problems: list[str] = []
        for category in folders(root):
            if not (root / category / "test_public").is_dir():
                continue
            records += training_records(root, category, validation=self.validation, problems=problems)
            test = f"{category}/test_public"
            records += plain_records(
                root, f"{test}/good", category=category, split="test", defect_type=GOOD, problems=problems
            )
            bad = plain_records(
                root, f"{test}/bad", category=category, split="test", defect_type="bad", problems=problems
            )
            records += _marked(root, test, bad, problems)
        note = "the private test images are not scored here: only the benchmark's server has their truth"
        grouped = tuple(replace(record, group=_group(record.image)) for record in records)
        return Scan(records=grouped, problems=tuple(problems), notes=(note,))

    def unlabelled(self, data_root: Path) -> Manifest:
        """Return the training images, and the private ones whose maps the server wants, in its order."""
        public = self.manifest(data_root)
        root = self.locate(data_root)
        records = []
        for category in self.categories or [c for c in folders(root) if (root / c / "test_public").is_dir()]:
            for split in PRIVATE:
                folder = root / category / split
                names = image_files(folder) if folder.is_dir() else []
                if not names:
                    raise DataError(f"{folder}: no image in it; get the whole archive, the server wants every category")
                records += [unlabelled_record(f"{category}/{split}/{name}", category) for name in names]
        facts = file_facts(root, dict.fromkeys((r.image for r in records), "image"), keep_unreadable=True)
        samples = self.samples(records, root, facts, public.reading)
        return Manifest(dataset=self.name, samples=(*public.train, *samples), notes=public.notes)


def _marked(root: Path, test: str, bad: list[Record], problems: list[str]) -> Iterator[Record]:
    truth = f"{test}/ground_truth/bad"
    masks = image_files(root / truth) if (root / truth).is_dir() else []
    names = [Path(record.image).name for record in bad]
    pairing = pair(root / test / "bad", names, root / truth, masks, suffixes=["_mask"])
    problems += pairing.problems
    for record in bad:
        mask = pairing.mask_of.get(Path(record.image).name)
        if mask is not None:
            yield replace(record, mask=f"{truth}/{mask}")


def _group(image: str) -> str:
    """Return the object that an image shows: ``bad/005_regular.png`` and ``bad/005_overexposed.png`` are one."""
    folder, _, name = image.rpartition("/")
    number = re.match(r"\d+", name)
    return f"{folder}/{number[0]}" if number else image
