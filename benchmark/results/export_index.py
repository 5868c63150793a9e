"""What an export of predictions holds: its forms, and where the files of an image lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from pydantic import ValidationError

from benchmark.core.errors import DataError
from benchmark.core.settings import Record, first_problem

Form = Literal["maps", "masks", "csv", "coco", "mvtec_ad2", "fiftyone"]
FORMS: tuple[Form, ...] = get_args(Form)
Kind = Literal["maps", "regions", "masks"]
EXPORT = "export"
"""Folder in that of a run."""
INDEX = "export.json"
TABLE = "predictions.csv"
_ENDINGS: dict[Kind, str] = {"maps": ".npy", "regions": ".json", "masks": ".png"}


class ExportIndex(Record):
    """What an export holds, and where: written last, so that an export with an index is complete."""

    version: Literal[1] = 1
    run: str
    digest: str
    """Of the run's result; empty where there is none."""
    forms: list[Form]
    name: Literal["{path}", "{image}"]
    """What stands for an image in names of files: its path below the dataset without the ending, or with it."""

    def place(self, kind: Kind, image: str) -> Path:
        """Return where a file of an image lies below the export."""
        name = image if self.name == "{image}" else str(PurePosixPath(image).with_suffix(""))
        return Path(kind, f"{name}{_ENDINGS[kind]}")


def read_index(folder: Path) -> ExportIndex | None:
    """Return the index of an export; None where a folder has none, or one that was cut off.

    Raises:
        DataError: of another version, or no index at all; names the file.
    """
    path = folder / INDEX
    try:
        return ExportIndex.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        told = first_problem(error) if isinstance(error, ValidationError) else error.strerror
        raise DataError(
            f"{path}: not the index of an export of this version ({told}); remove it, and export the run again"
        ) from None


def is_exported(folder: Path, forms: Sequence[Form], digest: str) -> bool:
    """Whether an export in ``folder`` is complete, of this result, and has these forms."""
    if not forms:
        return True
    index = read_index(folder)
    return index is not None and index.digest == digest and set(forms) <= set(index.forms)
