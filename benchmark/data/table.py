"""Images that a table lists: a path, a label, and what else is known, in one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import FolderPath
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.listed import Listed, Places, scan_listed
from benchmark.data.records import GOOD, Scan
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

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say that the table has no row."""
        return f"{self.path}: no image is listed in it; write one row an image below the names of the columns"

    def scan(self, root: Path) -> Scan:
        """Read the rows; images named twice, paths that lead out of the folder and unknown words are problems."""
        assert self.path is not None
        problems: list[str] = []
        unknown = sorted(self.columns.keys() - NAMES.keys())
        if unknown:
            raise ConfigError(f"dataset.columns: {unknown[0]!r} is none of {', '.join(NAMES)}")
        names = {kind: (self.columns[kind],) if kind in self.columns else known for kind, known in NAMES.items()}
        rows = listed_rows(self.path, names, ("image", *self.columns), problems)
        return scan_listed(rows, Places(root), self.name, problems)


def listed_rows(
    path: Path, names: Mapping[str, Sequence[str]], needs: Sequence[str], problems: list[str]
) -> Iterator[Listed]:
    """Yield what each row of a table says, and add to ``problems`` those that say too little; as ``read_rows``."""
    for row in read_rows(path, names, needs=needs):
        try:
            yield listed(row)
        except DataError as error:
            problems.append(str(error))


def listed(row: TableRow) -> Listed:
    """Return what a row of a table says of its image.

    Raises:
        DataError: its label is no word of a label, or nothing says whether the image is defective.
    """
    kind = row.text("defect_type")
    label = row.label()
    if label is None and kind:
        label = kind.casefold() != GOOD
    if label is None and row.text("mask"):
        label = True
    if label is None:
        raise DataError(
            f"{row.where}: neither label nor defect_type nor mask; say whether {row.text('image')} is defective"
        )
    return Listed(
        where=row.where,
        image=row.text("image"),
        defective=label,
        mask=row.text("mask"),
        category=row.text("category"),
        defect_type=kind,
        group=row.text("group"),
        split=row.text("split"),
    )
