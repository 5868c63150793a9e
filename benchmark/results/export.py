"""A run's predictions as files: forms of ``pipeline=saved``, COCO's tools, FiftyOne and the server of MVTec AD 2."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.atomic import open_temporary, remove_leftovers
from benchmark.core.errors import ConfigError, DataError, ResultsError
from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.core.table import csv_cell
from benchmark.core.text import counted, encodable
from benchmark.results.export_coco import IMAGES, RESULTS, CocoWriter
from benchmark.results.export_fiftyone import FOLDER as FIFTYONE
from benchmark.results.export_fiftyone import FiftyOneWriter
from benchmark.results.export_files import (
    drawn,
    score_of,
    server_place,
    whole,
    write_for_server,
    write_map,
    write_mask,
    write_regions,
)
from benchmark.results.export_index import FORMS, INDEX, TABLE, ExportIndex, Form, Kind, read_index
from benchmark.results.files import ensure_writable

SERVER = "mvtec_ad2"
COLUMNS = ("image", "category", "score", "score_of", "label", "outcome", "message", "rationale")


class Export:
    """Writes what is asked for while predictions stream by; each file is whole or absent, the index comes last.

    Args:
        folder: of the export; made when something is written.
        forms: what is written; none: nothing is.
        samples: all images that will be added, or fail.
        run: id of the run.
        threshold: masks are the places with this score or more where the pipeline makes none; None: no masks then.

    Raises:
        ConfigError: ``mvtec_ad2`` for a run without an image that its server scores.
    """

    def __init__(
        self, folder: Path, forms: Sequence[Form], samples: Sequence[Sample], *, run: str, threshold: float | None
    ) -> None:
        self.folder, self.forms, self._run, self._threshold = folder, tuple(dict.fromkeys(forms)), run, threshold
        paths = {PurePosixPath(sample.id).with_suffix("") for sample in (samples if self.forms else ())}
        self._index = ExportIndex(
            run=run,
            digest="",
            forms=list(self.forms),
            name="{path}" if len(paths) == len(samples) else "{image}",
        )
        self._before: ExportIndex | None = None
        self._counts: dict[str, int] = dict.fromkeys(("maps", "masks", "server", "thresholded"), 0)
        if "mvtec_ad2" in self.forms and not any(server_place(sample) for sample in samples):
            raise ConfigError(
                "run.export: mvtec_ad2 is what the server takes, images called <object>/test_private/000….png or "
                "<object>/test_private_mixed/000….png, and this run has none; leave mvtec_ad2 out"
            )

    def __enter__(self) -> Self:
        self._open = ExitStack()
        if not self.forms:
            return self
        ensure_writable(self.folder)
        remove_leftovers(self.folder)
        with suppress(DataError):  # of another version: this export takes its place
            self._before = read_index(self.folder)
        (self.folder / INDEX).unlink(missing_ok=True)
        if "coco" in self.forms:
            self._coco = self._open.enter_context(CocoWriter(self.folder))
        if "fiftyone" in self.forms:
            self._fiftyone = self._open.enter_context(FiftyOneWriter(self.folder / FIFTYONE, run=self._run))
        if "csv" in self.forms:
            self._table = open_temporary(self.folder / TABLE)
            self._open.callback(self._table.close)
            self._row(COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "csv" in self.forms:
            place = Path(self._table.name)
            if kind is None:
                self._table.flush()
                place.replace(self.folder / TABLE)
            place.unlink(missing_ok=True)
        self._open.__exit__(kind, error, trace)

    def add(self, sample: Sample, prediction: Prediction, shape: tuple[int, int], truth: GroundTruth | None) -> None:
        """Write the files of one image.

        Args:
            sample: the image.
            prediction: of it; one that failed has a row in the table alone.
            shape: (H, W) of the image; (0, 0) where that cannot be told.
            truth: what is true of its pixels; None: not known.

        Raises:
            DataError: a map that a form cannot hold.
            ResultsError: a file cannot be written.
        """
        try:
            self._add(sample, prediction, shape, truth)
        except OSError as error:
            raise ResultsError(f"{self.folder} cannot be written ({error.strerror}); free space") from None

    def _add(self, sample: Sample, prediction: Prediction, shape: tuple[int, int], truth: GroundTruth | None) -> None:
        ok = prediction.outcome == "ok"
        scores = drawn(prediction, sample.id) if ok else None
        mask = with_masks(prediction, self._threshold).mask if ok else None
        if "maps" in self.forms:
            self._write("maps", sample, scores)
            if (path := self._place("regions", sample)) and prediction.regions is not None and ok:
                write_regions(path, prediction.regions)
            else:
                path.unlink(missing_ok=True)
        if "masks" in self.forms:
            self._write("masks", sample, mask)
        if "coco" in self.forms and shape != (0, 0):
            self._coco.add(sample, prediction if ok else Prediction(), scores, mask, shape=shape, truth=truth)
        if "fiftyone" in self.forms:
            name = str(self._index.place("masks", sample.id).relative_to("masks").with_suffix(""))
            self._fiftyone.add(sample, prediction, scores, mask, name=name, shape=shape, truth=truth)
        if "mvtec_ad2" in self.forms and ok and write_for_server(self.folder / SERVER, sample, scores, mask):
            self._counts["server"] += 1
            self._counts["thresholded"] += mask is not None
        if "csv" in self.forms:
            self._row(_cells(sample, prediction, scores))

    def finish(self, digest: str = "") -> list[str]:
        """Write the index, and return what was written where, a line a form.

        Args:
            digest: of the run's result; forms that an export of the same result has already stay listed.
        """
        if not self.forms:
            return []
        before = self._before.forms if self._before and digest and self._before.digest == digest else []
        index = self._index.model_copy(
            update={"digest": digest, "forms": [f for f in FORMS if f in (*self.forms, *before)]}
        )
        with whole(self.folder / INDEX) as file:
            file.write(index.model_dump_json(indent=1).encode() + b"\n")
        return [f"{form}: {self._told(form)}" for form in self.forms]

    def _told(self, form: Form) -> str:
        counts, none = self._counts, "none, as the pipeline makes none"
        cut = "" if self._threshold is not None else "; run.export_threshold=… makes them of score maps"
        if form == "maps":
            return f"{counts['maps']} in {self.folder / 'maps'}" if counts["maps"] else none
        if form == "masks":
            return f"{counts['masks']} in {self.folder / 'masks'}" if counts["masks"] else none + cut
        if form == "csv":
            return str(self.folder / TABLE)
        if form == "coco":
            found = (
                f"{counted(self._coco.results, 'region')}"
                if self._coco.results
                else "no region, as nothing is marked" + cut
            )
            return f"{self.folder / IMAGES} and {RESULTS}, {found}"
        if form == "fiftyone":
            return f"{counted(self._fiftyone.samples, 'image')} in {self.folder / FIFTYONE}"
        masks = f"{counts['thresholded']} thresholded" + ("" if counts["thresholded"] else cut)
        return f"{counted(counts['server'], 'image')}, {masks}, in {self.folder / SERVER}"

    def _place(self, kind: Kind, sample: Sample) -> Path:
        return self.folder / self._index.place(kind, sample.id)

    def _write(self, kind: Literal["maps", "masks"], sample: Sample, values: NDArray[np.generic] | None) -> None:
        path = self._place(kind, sample)
        if values is None:  # of a run before this one
            path.unlink(missing_ok=True)
            return
        if kind == "maps":
            write_map(path, values)
        else:
            write_mask(path, values.astype(np.bool_))
        self._counts[kind] += 1

    def _row(self, cells: Sequence[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([csv_cell(encodable(cell)) for cell in cells])
        self._table.write(text.getvalue().encode())


def with_masks(prediction: Prediction, threshold: float | None) -> Prediction:
    """Return the prediction, with a mask of the places whose score is ``threshold`` or more where it has none."""
    if threshold is None or prediction.mask is not None or prediction.outcome != "ok":
        return prediction
    scores = drawn(prediction, "score map")
    return prediction if scores is None else replace(prediction, mask=scores >= threshold)


def _cells(sample: Sample, prediction: Prediction, scores: NDArray[np.generic] | None) -> tuple[str, ...]:
    """A row of the table; without an image score the score is the largest of the map, and said to be."""
    score, of = score_of(prediction, scores), "map" if prediction.image_score is None else "pipeline"
    label = "" if prediction.label is None else str(int(prediction.label))
    shown = ("", "") if score is None else (repr(score), of)
    said = (prediction.message or "", prediction.rationale or "")
    return (sample.id, sample.category, *shown, label, prediction.outcome, *said)
