"""Folders in MVTec AD's layout: ``<category>/{train/good,test/<type>,ground_truth/<type>}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from benchmark.core.errors import ConfigError
from benchmark.core.text import counted
from benchmark.data.card import find_card
from benchmark.data.dataset import Dataset
from benchmark.data.index import FileFacts
from benchmark.data.record_files import files_of
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair, unused_files

LIKE_GOOD = frozenset(
    {"good", "ok", "okay", "normal", "pass", "passed", "negative", "healthy", "intact", "clean", "fine", "gut", "io"}
)
"""Names that folders of good images have: without masks, nothing is taken for defective under one of them."""


class MvtecLayout(Dataset):
    """Any dataset in MVTec AD's layout.

    A folder that holds ``test`` itself is read as one category of that folder's name.
    """

    good_names: list[str]
    """Folders of good images (``good``; BTAD has ``ok``)."""
    mask_suffixes: list[str]
    """What a mask's stem has behind its image's stem; the first that fits is taken."""
    masks: Literal["required", "optional"]
    """Whether each defective image must have one; without, only its label counts."""

    def locate(self, data_root: Path) -> Path:
        """Return the folder that holds the categories; a user's own folder must be named by ``path``."""
        if self.name == "folder" and self.path is None:
            raise ConfigError("dataset.path: say which folder to read, dataset=folder dataset.path=<folder>")
        return super().locate(data_root)

    def scan(self, root: Path) -> Scan:
        """List all categories; what is unpaired, empty or out of place is a problem."""
        single = (root / "test").is_dir()
        records: list[Record] = []
        problems: list[str] = []
        notes: list[str] = []
        for category in [root.resolve().name] if single else folders(root):
            folder = root if single else root / category
            prefix = "" if single else f"{category}/"
            if (folder / "train").is_dir():
                records += self._train(folder, category, prefix, problems)
            if (folder / "test").is_dir():
                records += self._test(folder, category, prefix, problems)
            elif find_card(self.name) is None and category in (self.categories or [category]):
                notes.append(f"{category}: there is no folder test in it, so nothing of it is scored")
        if find_card(self.name) is None:  # counts of a card would miss what is not used
            notes += self._not_used(root, records)
        if records and all(record.split == "train" for record in records):
            problems.append(f"{root}: there are train images only; test images lie in <category>/test/<type>/")
        return Scan(records=tuple(records), problems=tuple(problems), notes=tuple(notes))

    def _not_used(self, root: Path, records: Sequence[Record]) -> list[str]:
        """Tell of files that lie among the images and are none that is used; not of categories that are not scored."""
        told = unused_files(root, files_of(records))
        if (root / "test").is_dir():
            return told
        scored = [c for c in self.categories or folders(root) if (root / c / "test").is_dir()]
        return [note for note in told if note.partition(":")[0].partition("/")[0] in (*scored, ".")]

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Note defective images whose mask shows no defect: one's own data have no card to be compared with."""
        empty = [r.image for r in records if r.defective and r.mask is not None and facts[r.mask].peak == 0]
        if find_card(self.name) is not None:
            empty = []
        marked = [r for r in records if not r.defective and r.mask is not None and facts[r.mask].peak]
        problems = [f"{r.image}: a good image, but its mask {r.mask} marks a defect; move one of them" for r in marked]
        notes = (
            [
                f"{counted(len(empty), 'defective image has', 'defective images have')} an all-zero mask, "
                f"the first is {empty[0]}"
            ]
            if empty
            else []
        )
        bare = [r.image for r in records if r.defective and r.mask is None]
        if bare:
            defective = sum(r.defective for r in records)
            notes.append(
                f"{len(bare)} of {counted(defective, 'defective image has', 'defective images have')} no mask, "
                f"the first is {bare[0]}: their labels count, their pixels do not"
            )
        return Scan(records=tuple(records), notes=tuple(notes), problems=tuple(problems))

    def _train(self, folder: Path, category: str, prefix: str, problems: list[str]) -> Iterator[Record]:
        train = folder / "train"
        for kind in folders(train):
            if kind not in self.good_names:
                good = ", ".join(self.good_names)
                fix = f"move it to test/{kind}"
                if kind.casefold() in LIKE_GOOD:
                    fix = f"say dataset.good_names=[{kind}] if that is what it holds, or {fix}"
                problems.append(f"{train / kind}: train holds good images only ({good}); {fix}")
                continue
            for name in _images(train / kind, problems):
                yield Record(
                    image=f"{prefix}train/{kind}/{name}",
                    mask=None,
                    defective=False,
                    category=category,
                    defect_type=GOOD,
                    split="train",
                )

    def _test(self, folder: Path, category: str, prefix: str, problems: list[str]) -> Iterator[Record]:
        test, truth = folder / "test", folder / "ground_truth"
        kinds = folders(test)
        for kind in kinds:
            names = _images(test / kind, problems)
            defective = kind not in self.good_names
            mask_of = self._masks(test / kind, names, truth / kind, problems, needed=defective)
            for name in names:
                if defective and name not in mask_of and self.masks == "required":
                    continue
                yield Record(
                    image=f"{prefix}test/{kind}/{name}",
                    mask=f"{prefix}ground_truth/{kind}/{mask_of[name]}" if name in mask_of else None,
                    defective=defective,
                    category=category,
                    defect_type=kind if defective else GOOD,
                    split="test",
                )
        alone = [kind for kind in folders(truth) if kind not in kinds] if truth.is_dir() else []
        problems += [
            f"{truth / kind / masks[0]}: a mask without image; its image belongs into {test / kind}"
            for kind in alone
            if (masks := image_files(truth / kind))
        ]

    def _masks(
        self, images: Path, names: Sequence[str], masks: Path, problems: list[str], *, needed: bool
    ) -> Mapping[str, str]:
        """Pair the images of a folder; good ones need no masks, and those that have some show that they are blank."""
        looks_good = needed and images.name.casefold() in LIKE_GOOD
        needed = needed and (self.masks == "required" or looks_good)
        if not masks.is_dir() and not needed:
            return {}
        if not masks.is_dir():
            problems.append(
                f"{images}: a folder of defective images, but there is no {masks} with their masks; add it, "
                + ("" if looks_good else "say dataset.masks=optional to use labels alone, ")
                + f"or, if the images are good, say dataset.good_names=[{images.name}]"
            )
            return {}
        pairing = pair(images, names, masks, image_files(masks), suffixes=self.mask_suffixes, needed=needed)
        problems += pairing.problems
        return pairing.mask_of


def _images(folder: Path, problems: list[str]) -> list[str]:
    names = image_files(folder)
    if not names:
        problems.append(f"{folder}: no image in it; put images there, or remove the folder")
    return names
