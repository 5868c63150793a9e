"""A table of image scores and labels, as spreadsheets and programs write it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark.core.errors import DataError, near_matches
from benchmark.core.samples import Sample
from benchmark.data.table_rows import read_rows

NAMES = {
    "image": ("image", "path", "file", "filename", "image_path", "id"),
    "score": ("score", "image_score", "anomaly_score", "pred_score"),
    "label": ("label", "prediction", "pred", "pred_label"),
}
"""Columns, by the names under which they are known."""

Row = tuple[float | None, bool | None]


def read_table(path: Path, samples: Sequence[Sample]) -> dict[str, Row]:
    """Return score and label by sample.

    An image is named by its path below the dataset, or by any end of it that only one image has; with slashes of
    either kind.

    Raises:
        DataError: as ``read_rows``, or a row names an unknown image or one twice, or holds what is no number or label;
            file, line and fix are named.
    """
    names = Names(samples)
    found: dict[str, Row] = {}
    for row in read_rows(path, NAMES, needs=("image",)):
        if not {"score", "label"} & row.values.keys():
            raise DataError(f"{path}: needs a column score or label beside image")
        sample = _named(row.text("image"), names, row.where)
        if sample in found:
            raise DataError(f"{row.where}: {row.text('image')} stands there twice; keep one row an image")
        found[sample] = (_number(row.text("score"), row.where), row.label())
    return found


class Names:
    """Finds images by what other programs call them: the path below the dataset, or an end of it that is unique."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._ids = {sample.id for sample in samples}
        self.by_end: dict[str, str | None] = {}
        """Every end of every path to its image; None where several images have it."""
        for sample in samples:
            for end in _ends(sample.id):
                self.by_end[end] = None if end in self.by_end else sample.id

    def of(self, name: str, where: str) -> str | None:
        """Return the image of which a name is the path, an end of it, or a longer one; None: there is none.

        Raises:
            DataError: several images are called so; names ``where``.
        """
        first, *shorter = _ends(plain(name)) or [""]
        if first in self.by_end and first not in self._ids:
            if (sample := self.by_end[first]) is None:
                raise DataError(
                    f"{where}: several images are called {first}; write the path below the dataset's folder"
                )
            return sample
        return next((end for end in (first, *shorter) if end in self._ids), None)


def plain(name: str) -> str:
    """Return a path with slashes, without what says that it begins here."""
    return name.strip().replace("\\", "/").removeprefix("./")


def _ends(path: str) -> list[str]:
    """Return every end of a path, the longest first."""
    parts = PurePosixPath(path).parts
    return ["/".join(parts[at:]) for at in range(len(parts))]


def _named(name: str, names: Names, where: str) -> str:
    for end in _ends(plain(name)):  # what they have in common may be an end of both
        if (sample := names.of(end, where)) is not None:
            return sample
    raise DataError(f"{where}: no image {name!r} in the dataset; {near_matches(plain(name), list(names.by_end))}")


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where}: the score {text!r} is no number; write it with a decimal point") from None
    if not math.isfinite(value):
        raise DataError(f"{where}: the score is {text}; it must be a finite number")
    return value
