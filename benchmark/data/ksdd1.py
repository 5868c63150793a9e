"""KolektorSDD: ``kosNN/PartN.jpg`` (an item, and one view of it) with ``PartN_label.bmp`` beside it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from benchmark.core.addresses import cache_folder
from benchmark.core.samples import AS_STORED
from benchmark.core.text import counted
from benchmark.data.card import EVERY, Card, Count
from benchmark.data.dataset import Dataset, Index
from benchmark.data.index import FileFacts, file_facts
from benchmark.data.ksdd2 import is_mask, labelled_by_mask
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair
from benchmark.data.thirds import cut_thirds

_ITEM = re.compile(r"^kos\d+$")
_THIRDS = (Count(category=EVERY, split="all", good=1143, defective=54),)
"""What the complete 399 images give, counted by AdaCLIP's preparation of the same data."""


class Ksdd1(Dataset):
    """The KolektorSDD data; an image is defective where its mask marks anything, and items are the categories."""

    labels_from_masks: ClassVar[bool] = True

    cut: Literal["none", "thirds"]
    """``thirds``: every image and mask is cut in three by height, and each third is a sample of its own."""
    duplicates: Literal["drop", "keep"]
    """What becomes of a part whose image and mask are byte copies of an earlier part of the same item."""

    def scan(self, root: Path) -> Scan:
        """List ``kosNN/PartN.*`` two levels deep and no deeper: one public copy nests an item inside another."""
        records: list[Record] = []
        notes: list[str] = []
        problems: list[str] = []
        for item in folders(root):
            folder = root / item
            if not _ITEM.match(item):
                continue
            names = image_files(folder)
            masks = [name for name in names if is_mask(name, "_label")]
            images = [name for name in names if not is_mask(name, "_label")]
            pairing = pair(folder, images, folder, masks, suffixes=["_label"])
            problems += pairing.problems
            notes += [
                f"{item}/{stray}: a folder inside an item, {counted(len(image_files(folder / stray)), 'file')} left out"
                for stray in folders(folder)
            ]
            records += [
                Record(
                    image=f"{item}/{image}",
                    mask=f"{item}/{mask}",
                    defective=False,
                    category=item,
                    defect_type=GOOD,
                    split="all",
                    group=item,
                )
                for image, mask in pairing.mask_of.items()
            ]
        return Scan(records=tuple(records), notes=tuple(notes), problems=tuple(problems))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Label by mask, leave out duplicated parts, and group items that show the same photographs."""
        seen: dict[tuple[str, str, str], str] = {}
        kept: list[Record] = []
        notes: list[str] = []
        for record in labelled_by_mask(records, facts):
            assert record.mask is not None, record
            content = record.category, facts[record.image].sha256, facts[record.mask].sha256
            first = seen.setdefault(content, record.image)
            if first != record.image and self.duplicates == "drop":
                notes.append(f"{record.image}: a byte copy of {first}, mask included, so it is left out")
                continue
            kept.append(record)
        group_of = _same_photographs(kept, facts)
        merged = sorted({group for group in group_of.values() if "+" in group})
        notes += [
            f"{group}: items with the same photographs and different masks, kept as one group" for group in merged
        ]
        return Scan(records=tuple(replace(r, group=group_of[r.category]) for r in kept), notes=tuple(notes))

    def index(self, data_root: Path, *, keep_unreadable: bool = False) -> Index:
        """Index the whole images, then cut them where asked; raises as ``manifest`` does."""
        whole = super().index(data_root, keep_unreadable=keep_unreadable and self.cut == "none")
        return whole if self.cut == "none" else _thirds(whole, self.name)

    def expected_counts(self, card: Card) -> tuple[Count, ...] | None:
        """Return the card's counts when all items are used; it does not know them by item."""
        return card.expected(None) if self.categories is None else None


def _same_photographs(records: Sequence[Record], facts: Mapping[str, FileFacts]) -> dict[str, str]:
    """Map every item to its group: items that share a photograph are joined, ``kos01+kos26``."""
    items_of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        items_of[facts[record.image].sha256].add(record.category)
    joined = {record.category: {record.category} for record in records}
    for items in items_of.values():
        union = set().union(*(joined[item] for item in items))
        for item in union:
            joined[item] = union
    return {item: "+".join(sorted(union)) for item, union in joined.items()}


def _thirds(whole: Index, name: str) -> Index:
    """Replace every image by its three thirds, which are written below the cache folder once."""
    root = cut_thirds(whole, cache_folder() / "derived", name)
    records: list[Record] = []
    for record in whole.records:
        stem = str(Path(record.image).with_suffix(""))
        records += [
            replace(
                record, image=f"{stem}_{third}.png", mask=f"{stem}_{third}_label.png", defective=False, defect_type=GOOD
            )
            for third in range(3)
        ]
    files = {r.image: "image" for r in records} | {r.mask: "grey" for r in records if r.mask is not None}
    facts = file_facts(root, files)  # type: ignore[arg-type]
    return Index(
        root=root,
        records=labelled_by_mask(records, facts),
        facts=facts,
        expected=_THIRDS if whole.expected is not None else None,
        complete=whole.complete,
        reading=AS_STORED,
        notes=(*whole.notes, "every image was cut in three by height"),
    )
