"""Images that a table lists: a path, a label, and what else is known, in one row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import FolderPath
from benchmark.data.dataset import Dataset
from benchmark.data.records import GOOD, ArchiveSplit, Record, Scan
from benchmark.data.table_rows import TableRow, read_rows

NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "image_path", "path", "file", "filename", "file_name"),
    "label": ("label", "defective", "anomaly"),
    "mask": ("mask", "mask_path", "ground_truth", "segmentation"),
    "category": ("category", "object", "product", "part"),
    "defect_type": ("defect_type", "defect", "type", "anomaly_type"),
    "group": ("group", "item", "serial", "serial_number"),
    "split": ("split", "set", "subset"),
}
"""Columns, by the names under which they are known."""
SPLITS: dict[str, ArchiveSplit] = {"": "all", "train": "train", "training": "train", "test": "test", "testing": "test"}


class Table(Dataset):
    """Own images listed in a CSV, JSON-lines or Parquet file."""

    root: FolderPath | None
    """Folder that the table's paths are below; None: that of the table."""
    columns: dict[str, str]
    """Names of columns that are not usual ones, by what they hold: ``{label: verdict}``."""

    def locate(self, data_root: Path) -> Path:
        """Return the folder that paths are below; raises ConfigError or DataError where the table is not there."""
        if self.path is None:
            raise ConfigError("dataset.path: say which table to read, dataset=table dataset.path=parts.csv")
        if not self.path.is_file():
            what = "a folder, not a table" if self.path.is_dir() else "no such table"
            raise DataError(f"{self.path}: {what}; give a .csv, .jsonl or .parquet file as dataset.path")
        root = self.path.parent if self.root is None else self.root
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; give dataset.root=<folder that the table's paths are below>")
        return root

    def scan(self, root: Path) -> Scan:
        """Read the rows; images named twice, paths that lead out of the folder and unknown words are problems."""
        assert self.path is not None
        records: dict[str, Record] = {}
        problems: list[str] = []
        for row in self._rows():
            try:
                record = self._record(row, root)
            except DataError as error:
                problems.append(str(error))
                continue
            if record.image in records:
                problems.append(f"{row.where}: {record.image} stands there twice; keep one row an image")
            records.setdefault(record.image, record)
        bare = [r.image for r in records.values() if r.defective and r.mask is None]
        notes = []
        if bare:
            notes.append(
                f"{len(bare)} of {sum(r.defective for r in records.values())} defective images have no mask, the first "
                f"is {bare[0]}: their labels count, their pixels do not"
            )
        return Scan(records=tuple(records.values()), problems=tuple(problems), notes=tuple(notes))

    def _rows(self) -> Sequence[TableRow]:
        assert self.path is not None
        unknown = sorted(self.columns.keys() - NAMES.keys())
        if unknown:
            raise ConfigError(f"dataset.columns: {unknown[0]!r} is none of {', '.join(NAMES)}")
        names = {kind: (self.columns[kind],) if kind in self.columns else known for kind, known in NAMES.items()}
        return read_rows(self.path, names, needs=("image", *self.columns))

    def _record(self, row: TableRow, root: Path) -> Record:
        image = _there(row.text("image"), root, row.where)
        mask = _there(row.text("mask"), root, row.where) if row.text("mask") else None
        kind = row.text("defect_type")
        label = row.label()
        if label is None and kind:
            label = kind.casefold() != GOOD
        if label is None and mask is not None:
            label = True
        if label is None:
            raise DataError(f"{row.where}: neither label nor defect_type nor mask; say whether {image} is defective")
        split = row.text("split").casefold()
        if split not in SPLITS:
            raise DataError(f"{row.where}: the split {row.text('split')!r} is neither train nor test")
        return Record(
            image=image,
            mask=mask,
            defective=label,
            category=row.text("category") or self.name,
            defect_type=(kind or "defect") if label else GOOD,
            split=SPLITS[split],
            group=row.text("group") or None,
        )


def _there(text: str, root: Path, where: str) -> str:
    """Return a path of the table as ``_below`` does; raises DataError where nothing is there, too."""
    path = _below(text, root, where)
    if not (root / path).exists():
        raise DataError(
            f"{where}: {root / path} is not there; mend the path, or give dataset.root=<folder of the images>"
        )
    return path


def _below(text: str, root: Path, where: str) -> str:
    """Return a path of the table as one below the root, with forward slashes.

    Raises:
        DataError: it is empty, or leads out of the root.
    """
    if not text:
        raise DataError(f"{where}: no image is named")
    windows = PureWindowsPath(text)
    path = PurePosixPath(windows.as_posix() if "\\" in text or windows.drive else text)
    if path.is_absolute() and path.is_relative_to(root.resolve()):
        path = path.relative_to(root.resolve())
    if path.is_absolute() or windows.drive or ".." in path.parts:
        raise DataError(
            f"{where}: {text} does not lie below {root}; write paths relative to it, or give dataset.root=<the folder "
            "above all images>"
        )
    return str(path)
