"""MVTec LOCO AD: ``<category>/{train,validation}/good``, ``test/<type>``, a folder of masks a defective image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, Record, Scan, folders, image_files, plain_records, training_records


class MvtecLoco(Dataset):
    """The MVTec LOCO AD data; a pixel is defect where any of an image's masks marks it."""

    validation: Literal["leave_out", "train"]
    """Whether the good validation images may be learnt from."""

    def scan(self, root: Path) -> Scan:
        """List all categories; defective images without masks and masks without image are problems."""
        records: list[Record] = []
        problems: list[str] = []
        for category in folders(root):
            if not (root / category / "test").is_dir():
                continue
            records += training_records(root, category, validation=self.validation, problems=problems)
            for kind in folders(root / category / "test"):
                found = plain_records(
                    root,
                    f"{category}/test/{kind}",
                    category=category,
                    split="test",
                    defect_type=kind,
                    problems=problems,
                )
                records += found if kind == GOOD else self._marked(root, category, kind, found, problems)
        return Scan(records=tuple(records), problems=tuple(problems))

    def _marked(
        self, root: Path, category: str, kind: str, found: list[Record], problems: list[str]
    ) -> Iterator[Record]:
        truth = f"{category}/ground_truth/{kind}"
        stems = folders(root / truth) if (root / truth).is_dir() else []
        masks_of = {stem: names for stem in stems if (names := image_files(root / truth / stem))}
        for record in found:
            stem = Path(record.image).stem
            masks = [f"{truth}/{stem}/{name}" for name in masks_of.pop(stem, [])]
            if not masks:
                problems.append(f"{root / record.image}: its masks are not there; put them into {root / truth / stem}/")
                continue
            yield replace(record, mask=masks[0], more_masks=tuple(masks[1:]), mask_format="class_ids")
        problems += [
            f"{root / truth / stem}: masks without image; put it into {root / category / 'test' / kind}"
            for stem in masks_of
        ]
