"""Folders in MVTec AD's layout: ``<category>/{train/good,test/<type>,ground_truth/<type>}``."""

from __future__ import annotations

from pathlib import Path

from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair
from benchmark.errors import ConfigError, DataError


class MvtecLayout(Dataset):
    """Any dataset in MVTec AD's layout.

    A folder that holds ``test`` itself is read as one category of that folder's name.
    """

    good_names: list[str]
    """Folders of good images (``good``; BTAD has ``ok``)."""
    mask_suffixes: list[str]
    """What a mask's stem has behind its image's stem; the first that fits is taken."""

    def locate(self, data_root: Path) -> Path:
        """Return the folder that holds the categories; a user's own folder must be named by ``path``."""
        if self.name == "folder" and self.path is None:
            raise ConfigError("dataset.path: say which folder to read, dataset=folder dataset.path=<folder>")
        return super().locate(data_root)

    def scan(self, root: Path) -> Scan:
        """List all categories; raises DataError for what is unpaired, empty or not in this layout."""
        single = (root / "test").is_dir()
        records: list[Record] = []
        for category in [root.resolve().name] if single else folders(root):
            folder = root if single else root / category
            if (folder / "test").is_dir() or (folder / "train").is_dir():
                records += self._category(folder, category, prefix="" if single else f"{category}/")
        if records and all(record.split == "train" for record in records):
            raise DataError(f"{root}: there are train images only; test images lie in <category>/test/<type>/")
        return Scan(records=tuple(records))

    def _category(self, folder: Path, category: str, *, prefix: str) -> list[Record]:
        records: list[Record] = []
        train, test, truth = folder / "train", folder / "test", folder / "ground_truth"
        for kind in folders(train) if train.is_dir() else []:
            if kind not in self.good_names:
                raise DataError(
                    f"{train / kind}: train holds good images only ({self._good()}); move it to test/{kind}"
                )
            names = self._images(train / kind)
            records += [
                Record(
                    image=f"{prefix}train/{kind}/{name}",
                    mask=None,
                    defective=False,
                    category=category,
                    defect_type=GOOD,
                    split="train",
                )
                for name in names
            ]
        kinds = folders(test) if test.is_dir() else []
        for kind in kinds:
            records += self._test_kind(folder, category, kind, prefix=prefix)
        for kind in folders(truth) if truth.is_dir() else []:
            if (kind not in kinds or kind in self.good_names) and (names := image_files(truth / kind)):
                raise DataError(
                    f"{truth / kind / names[0]}: a mask without image; its image belongs into {test / kind}"
                )
        return records

    def _test_kind(self, folder: Path, category: str, kind: str, *, prefix: str) -> list[Record]:
        images = folder / "test" / kind
        names = self._images(images)
        defective = kind not in self.good_names
        mask_of: dict[str, str] = {}
        if defective:
            masks = folder / "ground_truth" / kind
            if not masks.is_dir():
                raise DataError(
                    f"{images}: a folder of defective images, but there is no {masks} with their masks; add it, "
                    f"or, if the images are good, say dataset.good_names=[{kind}]"
                )
            mask_of = pair(images, names, masks, image_files(masks), suffixes=self.mask_suffixes)
        return [
            Record(
                image=f"{prefix}test/{kind}/{name}",
                mask=f"{prefix}ground_truth/{kind}/{mask_of[name]}" if defective else None,
                defective=defective,
                category=category,
                defect_type=kind if defective else GOOD,
                split="test",
            )
            for name in names
        ]

    def _images(self, folder: Path) -> list[str]:
        names = image_files(folder)
        if not names:
            raise DataError(f"{folder}: no image in it; put images there, or remove the folder")
        return names

    def _good(self) -> str:
        return ", ".join(self.good_names)
