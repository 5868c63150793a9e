"""Real-IAD: five views of each object, split by a JSON file for each category."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from benchmark.core.errors import DataError
from benchmark.data.annotations import read_json
from benchmark.data.dataset import Dataset
from benchmark.data.listed import Listed, Places, scan_listed
from benchmark.data.records import Scan

TYPES = {
    "AK": "pit", "BX": "deformation", "CH": "abrasion", "HS": "scratch", "PS": "damage", "QS": "missing_parts",
    "YW": "foreign_objects", "ZW": "contamination",
}  # fmt: skip
"""Codes of the kinds of defect, in the paper's words; another code stays as it is."""
_OBJECT = re.compile(r"S\d+")


class RealIad(Dataset):
    """The Real-IAD data at one resolution and under one of its splits."""

    resolution: Literal["256", "512", "1024", "raw"]
    split_file: str
    """Folder of the split: ``realiad_jsons`` (all views), ``realiad_jsons_sv``, ``realiad_jsons_fuiad_0.4``."""

    def scan(self, root: Path) -> Scan:
        """Read the split of every category; images that are not there are problems."""
        problems: list[str] = []
        folder = next(
            (f for f in (root / "realiad_jsons" / self.split_file, root / self.split_file) if f.is_dir()), None
        )
        images = root / f"realiad_{self.resolution}"
        for place, fix in ((folder, "dataset.split_file"), (images, "dataset.resolution")):
            if place is None or not place.is_dir():
                there = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())) or "nothing"
                name = place or root / "realiad_jsons" / self.split_file
                raise DataError(f"{name}: no such folder (there is: {there}); unpack it there, or give {fix}")
        assert folder is not None
        files = [f for f in sorted(folder.glob("*.json")) if self.categories is None or f.stem in self.categories]
        places = Places(root)
        rows = [row for file in files for row in self._rows(file, images.name, problems)]
        return scan_listed(rows, places, self.name, problems)

    def _rows(self, file: Path, images: str, problems: list[str]) -> Iterator[Listed]:
        content = read_json(file)
        if not isinstance(content, dict) or not all(isinstance(content.get(s, []), list) for s in ("train", "test")):
            raise DataError(f"{file}: no split of Real-IAD, which has lists train and test; get the file again")
        base = f"{images}/{file.stem}"
        for split in ("train", "test"):
            for at, one in enumerate(content.get(split, []), start=1):
                try:
                    yield _row(one, f"{file}, {split} {at}", base, file.stem, split)
                except (KeyError, TypeError) as error:
                    problems.append(
                        f"{file}, {split} {at}: no image_path or anomaly_class ({error}); get the file again"
                    )


def _row(one: Mapping[str, Any], where: str, base: str, category: str, split: str) -> Listed:
    code, image, mask = str(one["anomaly_class"]), str(one["image_path"]), one.get("mask_path")
    found = _OBJECT.search(image)
    return Listed(
        where=where,
        image=f"{base}/{image}",
        defective=code != "OK",
        mask=f"{base}/{mask}" if mask and code != "OK" else "",
        category=category,
        defect_type="" if code == "OK" else TYPES.get(code, code),
        group=f"{category}/{image[: found.end()]}" if found else "",
        split=split,
    )
