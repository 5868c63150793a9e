"""KolektorSDD2: ``{train,test}/NNNNN.png`` with ``NNNNN_GT.png`` beside every image, good ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from benchmark.data.dataset import Dataset
from benchmark.data.index import FileFacts
from benchmark.data.records import GOOD, Record, Scan, image_files, pair

SCRATCH = "surface_defect"


class Ksdd2(Dataset):
    """The KolektorSDD2 data; an image is defective where its mask marks anything."""

    labels_from_masks: ClassVar[bool] = True

    def scan(self, root: Path) -> Scan:
        """List both folders; unpaired files are problems. Labels come later, from the masks."""
        records: list[Record] = []
        problems: list[str] = []
        splits: tuple[Literal["train", "test"], ...] = ("train", "test")
        for split in splits:
            folder = root / split
            if not folder.is_dir():
                problems.append(f"{folder}: no such folder; the archive has train and test")
                continue
            names = image_files(folder)
            masks = [name for name in names if is_mask(name, "_GT")]
            images = [name for name in names if not is_mask(name, "_GT")]
            pairing = pair(folder, images, folder, masks, suffixes=["_GT"])
            problems += pairing.problems
            records += [
                Record(
                    image=f"{split}/{image}",
                    mask=f"{split}/{mask}",
                    defective=False,
                    category="kolektorsdd2",
                    defect_type=GOOD,
                    split=split,
                )
                for image, mask in pairing.mask_of.items()
            ]
        return Scan(records=tuple(records), problems=tuple(problems))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Label every image by its mask."""
        return Scan(records=labelled_by_mask(records, facts))


def is_mask(name: str, suffix: str) -> bool:
    """Whether a file's stem ends with ``suffix``."""
    return Path(name).stem.endswith(suffix)


def labelled_by_mask(records: Sequence[Record], facts: Mapping[str, FileFacts]) -> tuple[Record, ...]:
    """Return the records, defective where the mask has any level above zero."""
    return tuple(
        replace(r, defective=True, defect_type=SCRATCH) if r.mask is not None and facts[r.mask].peak else r
        for r in records
    )
