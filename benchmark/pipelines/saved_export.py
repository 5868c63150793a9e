"""Predictions as ``run.export`` writes them, read back to the last bit."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

from benchmark.core.errors import DataError
from benchmark.core.samples import Outcome, Prediction, Sample
from benchmark.core.table import csv_cell
from benchmark.pipelines.saved_coco import CocoSettings, read_coco
from benchmark.pipelines.saved_files import of_files
from benchmark.results.export_coco import IMAGES, RESULTS
from benchmark.results.export_index import INDEX, TABLE, ExportIndex, Kind, read_index

_OUTCOMES = get_args(Outcome)
_LONGEST = 2**30
"""Letters of a rationale; csv's own limit is 131072, which no writer keeps to."""


@dataclass(frozen=True, kw_only=True)
class ExportedRow:
    """What the table of an export says of one image."""

    score: float | None
    score_of: Literal["pipeline", "map", ""]
    """What gave the score; that of a map is taken from the map again, under the protocol."""
    label: bool | None
    outcome: Outcome
    message: str | None
    rationale: str | None

    def prediction(self, *, has_map: bool) -> Prediction:
        """Return all that is said beside map, regions and mask."""
        return Prediction(
            outcome=self.outcome,
            message=self.message,
            image_score=None if has_map and self.score_of == "map" else self.score,
            unscored=self.score is None and self.outcome == "ok",
            label=self.label,
            rationale=self.rationale,
        )


def own_export(folder: Path | None) -> ExportIndex | None:
    """Return the index of a folder that ``run.export`` wrote; None: it is none.

    Raises:
        DataError: it was cut off, or is of another version.
    """
    if folder is None:
        return None
    found = read_index(folder)
    if found is None and (folder / TABLE).is_file() and (folder / "maps").is_dir():
        raise DataError(
            f"{folder}: an export that was not finished, as it has no {INDEX}; give the command that made it once more"
        )
    return found


def exported(
    folder: Path, index: ExportIndex, samples: Sequence[Sample], coco: CocoSettings
) -> tuple[list[Mapping[str, Callable[[], Prediction]]], list[str]]:
    """Return what reads the predictions of an export, by sample, and notes for the result.

    Maps, or the regions that they were drawn of, go before what COCO results say of places, and so do masks.

    Raises:
        DataError: a file is damaged.
    """
    files = {s.id: found for s in samples if (found := _files(folder, index, s))}
    from_coco: Mapping[str, Callable[[], Prediction]] = {}
    notes: list[str] = []
    if "coco" in index.forms and not {"maps", "masks"} <= set(index.forms):
        from_coco, notes = read_coco(folder / RESULTS, samples, replace(coco, images=folder / IMAGES))
    mapped = {key for key, found in files.items() if found.keys() & {"map", "regions"}} | from_coco.keys()
    rows = {
        key: partial(row.prediction, has_map=key in mapped)
        for key, row in exported_rows(folder, index, samples).items()
    }
    return [rows, {key: partial(of_files, found) for key, found in files.items()}, from_coco], notes


def _files(folder: Path, index: ExportIndex, sample: Sample) -> dict[str, Path]:
    """Return the files of an image by what they hold; regions take the place of the map that is drawn of them."""
    kinds: dict[str, Kind] = {"map": "maps", "regions": "regions", "mask": "masks"}
    listed = {"map": "maps", "regions": "maps", "mask": "masks"}
    found = {
        name: path
        for name, kind in kinds.items()
        if listed[name] in index.forms and (path := folder / index.place(kind, sample.id)).is_file()
    }
    if "regions" in found:
        del found["map"]
    return found


def exported_rows(folder: Path, index: ExportIndex, samples: Sequence[Sample]) -> dict[str, ExportedRow]:
    """Return the table of an export by sample; images that are not among the samples are left out.

    Raises:
        DataError: it is damaged; names the file and the line.
    """
    if "csv" not in index.forms:
        return {}
    path = folder / TABLE
    wanted = {sample.id for sample in samples}
    found: dict[str, ExportedRow] = {}
    usual = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not reader.fieldnames:
                raise DataError(f"{path}: empty; export the run again")
            for row in reader:
                if (image := _text(row["image"])) in wanted:
                    found[image] = _row(row, f"{path}, line {reader.line_num}")
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not the table of an export ({error}); export the run again") from None
    finally:
        csv.field_size_limit(usual)
    return found


def _row(row: dict[str, str], where: str) -> ExportedRow:
    try:
        score = float(row["score"]) if row["score"] else None
    except ValueError:
        raise DataError(f"{where}: the score {row['score']!r} is no number; export the run again") from None
    if score is not None and not math.isfinite(score):
        raise DataError(f"{where}: the score is {score}; it must be a finite number")
    if (
        row["outcome"] not in _OUTCOMES
        or row["label"] not in ("", "0", "1")
        or row["score_of"] not in ("", "map", "pipeline")
        or None in (row["message"], row["rationale"])
    ):
        raise DataError(f"{where}: not a row of an export; export the run again")
    return ExportedRow(
        score=score,
        score_of=cast("Literal['pipeline', 'map', '']", row["score_of"]),
        label=row["label"] == "1" if row["label"] else None,
        outcome=cast("Outcome", row["outcome"]),
        message=_text(row["message"]) or None,
        rationale=_text(row["rationale"]) or None,
    )


def _text(cell: str) -> str:
    """Return what a cell held before ``csv_cell`` kept it from being a formula."""
    return cell[1:] if cell.startswith("'") and csv_cell(cell[1:]) == cell else cell
