"""VAD (Valeo Anomaly Dataset): ``train/{good,bad}``, ``test/{good,bad,bad_unseen_defects}``, labels without masks."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.text import counted
from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, ArchiveSplit, Record, Scan, plain_records

_FOLDERS: tuple[tuple[ArchiveSplit, str], ...] = (
    ("train", GOOD), ("train", "bad"), ("test", GOOD), ("test", "bad"), ("test", "bad_unseen_defects"),
)  # fmt: skip


class Vad(Dataset):
    """The VAD data; training images are good and bad, as its protocols are supervised ones too."""

    def scan(self, root: Path) -> Scan:
        """List the five folders; one that is missing or empty is a problem."""
        problems: list[str] = []
        records: list[Record] = []
        for split, kind in _FOLDERS:
            place = f"{split}/{kind}"
            records += plain_records(root, place, category="vad", split=split, defect_type=kind, problems=problems)
        bare = sum(record.defective for record in records)
        note = f"the dataset has no masks: the labels of {counted(bare, 'defective image')} count, their pixels do not"
        return Scan(records=tuple(records), problems=tuple(problems), notes=(note,) if bare else ())
