"""Magnetic Tile Defects: ``MT_<Type>/Imgs/exp<E>_num_<N>.jpg`` with the mask of the same stem beside it (``.png``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmark.core.text import counted
from benchmark.data.dataset import Dataset
from benchmark.data.index import FileFacts
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, pair

_GOOD_FOLDER = "MT_Free"
_NAME = re.compile(r"^exp(\d)_num_(\d+)$")


class Mtd(Dataset):
    """The Magnetic Tile Defects data."""

    label_from: Literal["folder", "mask"]
    """``folder``: all but MT_Free are defective. ``mask``: those with any marked pixel; four MT_Uneven masks are
    empty, so that one published protocol counts 388 defective images instead of 392."""

    def scan(self, root: Path) -> Scan:
        """List the ``MT_*`` folders; unpaired files and names without exposure and number are problems."""
        records: list[Record] = []
        problems: list[str] = []
        for category in folders(root):
            folder = root / category / "Imgs"
            if not category.startswith("MT_") or not folder.is_dir():
                continue
            names = image_files(folder)
            images = [name for name in names if not name.endswith(".png")]
            masks = [name for name in names if name.endswith(".png")]
            pairing = pair(folder, images, folder, masks, suffixes=[""])
            problems += pairing.problems
            defective = category != _GOOD_FOLDER
            records += [
                Record(
                    image=f"{category}/Imgs/{image}",
                    mask=f"{category}/Imgs/{mask}",
                    defective=defective,
                    category=category,
                    defect_type=category.removeprefix("MT_").lower() if defective else GOOD,
                    split="all",
                )
                for image, mask in pairing.mask_of.items()
            ]
        return Scan(records=_grouped_by_run(root, records, problems), problems=tuple(problems))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Label by mask where asked, and say which defective images have an empty mask."""
        empty = [r.image for r in records if r.defective and r.mask is not None and facts[r.mask].peak == 0]
        marked = [r.image for r in records if not r.defective and r.mask is not None and facts[r.mask].peak]
        if self.label_from == "folder":
            problems = tuple(
                f"{name}: a good image whose mask marks a defect; use dataset.label_from=mask, or move it"
                for name in marked
            )
            note = (
                f"{counted(len(empty), 'defective image has', 'defective images have')} an empty mask: "
                f"{', '.join(empty)}"
            )
            return Scan(records=tuple(records), notes=(note,) if empty else (), problems=problems)
        good, bad = set(empty), set(marked)
        relabelled = tuple(
            replace(r, defective=False, defect_type=GOOD)
            if r.image in good
            else replace(r, defective=True, defect_type="unknown")
            if r.image in bad
            else r
            for r in records
        )
        note = (
            f"{counted(len(empty), 'image in defect folders is', 'images in defect folders are')} good "
            f"by their empty mask: {', '.join(empty)}"
        )
        return Scan(records=relabelled, notes=(note,) if empty else ())


def _grouped_by_run(root: Path, records: Sequence[Record], problems: list[str]) -> tuple[Record, ...]:
    """Group the exposures of one tile.

    Numbers rise along the exposures 1..6 of one tile, so in number order a new tile starts where the exposure does not
    rise. It is a heuristic: of its 251 runs 200 have exactly six exposures, and 21 mix folders.
    """
    numbered: list[tuple[int, int, str]] = []
    for record in records:
        match = _NAME.match(Path(record.image).stem)
        if match is None:
            problems.append(f"{root / record.image}: not named exp<exposure>_num_<number>; remove or rename it")
            continue
        numbered.append((int(match[2]), int(match[1]), record.image))
    group_of: dict[str, str] = {}
    run, last = "", 10
    for number, exposure, image in sorted(numbered):
        if exposure <= last:
            run = f"run_{number}"
        group_of[image] = run
        last = exposure
    return tuple(replace(record, group=group_of.get(record.image)) for record in records)
