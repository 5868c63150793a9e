"""Images with a mask of class numbers each, as segmentation datasets have them: folders of images and of masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from benchmark.core.drawings import ClassIds
from benchmark.core.errors import ConfigError, DataError
from benchmark.data.annotations import category_of
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.index import FileFacts
from benchmark.data.listed import Listed, Places, scan_listed, split_of
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair

Id = Annotated[int, Field(ge=0, le=255)]


class ClassMasks(Dataset):
    """Own images whose masks hold the number of a class in each pixel."""

    images: str
    """Folder of the images, below the root; folders in it are those of the masks too."""
    masks: str
    """Folder of the masks, below the root."""
    mask_suffixes: list[str]
    """What a mask's stem has behind its image's stem; the first that fits is taken."""
    defect_ids: list[Id] | None
    """Numbers that are defects; None: all but 0 and those that are ignored."""
    ignore_ids: list[Id]
    """Numbers whose pixels count nowhere."""
    class_names: dict[str, str]
    """Name of a number's defect type."""
    category_from: Literal["dataset", "folder"]
    """Whether the folder that an image lies in is its category."""
    unannotated: Literal["good", "refuse"]
    """What an image without a mask is."""

    labels_from_masks: ClassVar[bool] = True

    def locate(self, data_root: Path) -> Path:
        """Return the folder above images and masks; raises ConfigError or DataError where one is not there."""
        if self.path is None:
            raise ConfigError("dataset.path: say which folder to read, dataset=class_masks dataset.path=<folder>")
        for key, name in (("images", self.images), ("masks", self.masks)):
            if not (self.path / name).is_dir():
                there = ", ".join(folders(self.path)) if self.path.is_dir() else "nothing"
                raise DataError(
                    f"{self.path / name}: no such folder (there is: {there}); give dataset.{key}=<its name>"
                )
        if (self.path / self.images).resolve() == (self.path / self.masks).resolve():
            raise ConfigError("dataset.masks: is the folder of the images; move the masks to a folder of their own")
        return self.path

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say where images are looked for."""
        return f"{root / self.images}: no image in it or in its folders; give dataset.images=<folder of the images>"

    def scan(self, root: Path) -> Scan:
        """Pair images and masks by name; what is unpaired is a problem."""
        problems: list[str] = []
        rows = list(self._rows(root, "", problems))
        scan = scan_listed(rows, Places(root), self.name, problems)
        ids = ClassIds(
            defects=None if self.defect_ids is None else tuple(self.defect_ids), ignored=tuple(self.ignore_ids)
        )
        records = tuple(
            record if record.mask is None else replace(record, mask_format="class_ids", class_ids=ids)
            for record in scan.records
        )
        return Scan(records=records, problems=scan.problems, notes=scan.notes)

    def _rows(self, root: Path, inner: str, problems: list[str]) -> Iterator[Listed]:
        images, masks = root / self.images / inner, root / self.masks / inner
        names = image_files(images)
        mask_names = image_files(masks) if masks.is_dir() else []
        if names or mask_names:
            needed = self.unannotated == "refuse"
            pairing = pair(images, names, masks, mask_names, suffixes=self.mask_suffixes, needed=needed)
            problems += pairing.problems
            for name in names:
                mask = pairing.mask_of.get(name)
                image = f"{self.images}/{inner}{name}"
                yield Listed(
                    where=str(root / image), image=image, mask=f"{self.masks}/{inner}{mask}" if mask else "",
                    defective=False, category=category_of(image, self.category_from), split=split_of(inner.rstrip("/")),
                )  # fmt: skip
        for folder in folders(images):
            yield from self._rows(root, f"{inner}{folder}/", problems)

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Label every image by the numbers in its mask; a number that never occurs, or no defect, is a problem."""
        found: Counter[int] = Counter()
        labelled = []
        for record in records:
            if record.mask is None or record.class_ids is None:
                labelled.append(record)
                continue
            levels = facts[record.mask].levels
            found.update(levels)
            kinds = [self.class_names.get(str(level), f"class {level}") for level in record.class_ids.chosen(levels)]
            labelled.append(replace(record, defective=bool(kinds), defect_type="+".join(sorted(kinds)) or GOOD))
        numbers = ", ".join(f"{level} in {number}" for level, number in sorted(found.items()))
        problems = [
            f"dataset.defect_ids: no mask holds {level}; they hold: {numbers}" for level in self.defect_ids or () if
            level not in found
        ]  # fmt: skip
        ignored = [level for level in self.ignore_ids if found[level]]
        if ignored and not any(record.defective for record in labelled):
            problems.append(
                f"{self.path}: no mask holds a defect, but {found[ignored[0]]} hold {ignored[0]}, which is ignored; "
                "give dataset.ignore_ids=[] where that is the defect"
            )
        return Scan(records=tuple(labelled), problems=tuple(problems), notes=(f"numbers in the masks: {numbers}",))
