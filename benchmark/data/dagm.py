"""DAGM 2007: ``ClassN/{Train,Test}/NNNN.PNG``; defective images have ``Label/NNNN_label.PNG``, a filled ellipse.

Train and Test repeat the same numbers in every class, so an image is named by class, split and number together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair

_SPLITS: tuple[tuple[str, Literal["train", "test"]], ...] = (("Train", "train"), ("Test", "test"))


class Dagm(Dataset):
    """The DAGM 2007 data in the layout of its public copies with label images."""

    def scan(self, root: Path) -> Scan:
        """List all classes; a label without image, or one that ``Labels.txt`` contradicts, is a problem."""
        records: list[Record] = []
        problems: list[str] = []
        for category in folders(root):
            if not category.startswith("Class"):
                continue
            for folder_name, split in _SPLITS:
                folder = root / category / folder_name
                if folder.is_dir():
                    records += self._split(folder, category, split, problems)
        return Scan(records=tuple(records), problems=tuple(problems))

    def _split(
        self, folder: Path, category: str, split: Literal["train", "test"], problems: list[str]
    ) -> Iterator[Record]:
        labels = folder / "Label"
        masks = image_files(labels) if labels.is_dir() else []
        marked = {Path(name).stem.removesuffix("_label") for name in masks}
        names = image_files(folder)
        pairing = pair(
            folder, [name for name in names if Path(name).stem in marked], labels, masks, suffixes=["_label"]
        )
        problems += pairing.problems
        problems += _contradictions(labels / "Labels.txt", marked)
        for name in names:
            mask = pairing.mask_of.get(name)
            yield Record(
                image=f"{category}/{folder.name}/{name}",
                mask=None if mask is None else f"{category}/{folder.name}/Label/{mask}",
                defective=mask is not None,
                category=category,
                defect_type=GOOD if mask is None else "ellipse",
                split=split,
            )


def _contradictions(path: Path, marked: set[str]) -> list[str]:
    """Compare ``Labels.txt`` (``id <tab> flag <tab> image <tab> 0 <tab> label or 0``) with the label images."""
    if not path.is_file():
        return []
    problems = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").split("\n"):
        fields = line.split("\t")
        if len(fields) < 3:
            continue
        stem, flagged = Path(fields[2]).stem, fields[1].strip() == "1"
        if flagged != (stem in marked):
            label, is_there = ("defective", "no") if flagged else ("good", "a")
            problems.append(
                f"{path}: {fields[2]} is {label}, but there is {is_there} label image; get the folder again"
            )
    return problems
