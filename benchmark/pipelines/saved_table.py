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
    by_end = _ends(samples)
    found: dict[str, Row] = {}
    for row in read_rows(path, NAMES, needs=("image",)):
        if not {"score", "label"} & row.values.keys():
            raise DataError(f"{path}: needs a column score or label beside image")
        sample = _named(row.text("image"), by_end, row.where)
        if sample in found:
            raise DataError(f"{row.where}: {row.text('image')} stands there twice; keep one row an image")
        found[sample] = (_number(row.text("score"), row.where), row.label())
    return found


def _ends(samples: Sequence[Sample]) -> dict[str, str | None]:
    """Every end of every sample's path to its id; None where several samples have it."""
    found: dict[str, str | None] = {}
    for sample in samples:
        parts = PurePosixPath(sample.id).parts
        for at in range(len(parts)):
            end = "/".join(parts[at:])
            found[end] = None if end in found else sample.id
    return found


def _named(name: str, by_end: dict[str, str | None], where: str) -> str:
    plain = name.replace("\\", "/").removeprefix("./")
    parts = PurePosixPath(plain).parts
    for at in range(len(parts)):  # the table may name a longer path than the dataset's own
        end = "/".join(parts[at:])
        if end in by_end:
            if (sample := by_end[end]) is None:
                raise DataError(f"{where}: several images are called {end}; write the path below the dataset's folder")
            return sample
    raise DataError(f"{where}: no image {name!r} in the dataset; {near_matches(plain, list(by_end))}")


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
