"""Predictions that another program made, in any language: score maps, masks, scores and labels as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.config.pipeline import ImageResults, Pipeline, Plan, Use
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.settings import FilePath, FolderPath

if TYPE_CHECKING:
    from benchmark.results.export_index import ExportIndex
    from benchmark.stages.context import Context

MAPS = (".npy", ".npz", ".tiff", ".tif", ".png")
MARKS = ("", "_map", "_score", "_anomaly_map", "_heatmap")
"""What programs put behind an image's stem for its score map."""
MASK_MARKS = ("_mask", "_pred", "_pred_mask")


class Saved(Pipeline):
    """Reads the prediction of each image from files that carry its path or name."""

    path: FolderPath | None
    """Folder of maps and masks, or what ``run.export`` wrote; None: there are image scores and labels only."""
    maps: str | None
    """Where a map lies below the folder: ``{path}`` (of the image, without its ending), ``{category}``, ``{type}``,
    ``{stem}``; None: ``{path}`` or ``{stem}`` with a usual ending."""
    masks: str | None
    """Likewise for binary masks; None: ``{path}_mask.png`` and its like."""
    table: FilePath | None
    """CSV with a column ``image``, and ``score``, ``label`` or both."""
    resize: Literal["error", "linear", "nearest"]
    """What becomes of a map or mask of another size than its image."""
    on_missing: Literal["row", "error"]
    """``row``: an image without a prediction is a failed answer."""

    def check(self, context: Context) -> None:
        """Refuse settings that name nothing to read."""
        if self.path is None and self.table is None:
            raise ConfigError(
                "pipeline=saved reads predictions: give pipeline.path=<folder of score maps or masks>, "
                "pipeline.table=<CSV of image, score, label>, or both"
            )
        if self.path is not None and not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder; give pipeline.path=<folder of score maps or masks>")

    def missing(self) -> tuple[str, str | None] | None:
        """Return that nothing is named to read, where that is so."""
        named = self.path is not None or self.table is not None
        return None if named else ("give pipeline.path or pipeline.table", None)

    def refuses(self, use: Use) -> str | None:
        """Refuse tiles: the files are of whole images."""
        return "its files are of whole images" if use == "tiles" else None

    def reads(self, dataset: str) -> Mapping[str, Path]:
        """Return folder and table: what they hold is part of the run."""
        places = {"path": self.path, "table": self.table}
        return {key: place for key, place in places.items() if place is not None and place.exists()}

    def not_in_result(self) -> tuple[str, ...]:
        """Return folder and table: where they lie is not."""
        return ("path", "table")

    def plan(self, context: Context) -> Plan:
        """Plan to read each image's files when its turn comes.

        Raises:
            DataError: nothing in the folder and the table is of any image, or (``on_missing: error``) not of each.
        """
        from benchmark.pipelines.saved_table import read_table

        if self.path is not None and (index := self._own()) is not None:
            return self._plan_own(context, self.path, index)
        rows = {} if self.table is None else read_table(self.table, context.samples)
        files = {s.id: self._files(s) for s in context.samples}
        _refuse_shared(files)
        self._tell_missing(context, [s for s in context.samples if s.id not in rows and not files[s.id]])

        def predict(one: ImageResults) -> Prediction:
            score, label = rows.get(one.sample.id, (None, None))
            found = files[one.sample.id]
            if not found and one.sample.id not in rows:
                return Prediction(outcome="failed", message="no saved prediction")
            return Prediction(
                score_map=self._sized(read_map(found["map"]), one.sample) if "map" in found else None,
                mask=self._sized(read_mask(found["mask"]), one.sample) if "mask" in found else None,
                image_score=score,
                label=label,
            )

        return Plan(predict=predict)

    def _own(self) -> ExportIndex | None:
        """Return the index where the folder is an export of ours and no setting says how to read it otherwise."""
        from benchmark.pipelines.saved_export import own_export

        return own_export(self.path) if {self.maps, self.masks, self.table} == {None} else None

    def _plan_own(self, context: Context, folder: Path, index: ExportIndex) -> Plan:
        from benchmark.pipelines.saved_export import exported_files, exported_rows
        from benchmark.results.export_files import read_regions

        rows = exported_rows(folder, index, context.samples)
        files = {s.id: exported_files(folder, index, s) for s in context.samples}
        self._tell_missing(context, [s for s in context.samples if s.id not in rows and not files[s.id]])

        def predict(one: ImageResults) -> Prediction:
            found, row = files[one.sample.id], rows.get(one.sample.id)
            if row is None and not found:
                return Prediction(outcome="failed", message="no saved prediction")
            said = Prediction() if row is None else row.prediction(has_map=bool(found.keys() & {"map", "regions"}))
            if said.outcome != "ok":
                return said
            return replace(
                said,
                score_map=self._sized(read_map(found["map"]), one.sample) if "map" in found else None,
                regions=read_regions(found["regions"]) if "regions" in found else None,
                mask=self._sized(read_mask(found["mask"]), one.sample) if "mask" in found else None,
            )

        return Plan(predict=predict)

    def _tell_missing(self, context: Context, without: list[Sample]) -> None:
        """Note images without a prediction, or raise DataError where that is so of all or not allowed."""
        if without and (len(without) == len(context.samples) or self.on_missing == "error"):
            raise DataError(self._nothing(without))
        if without:
            context.notes.append(f"{len(without)} images have no saved prediction, the first is {without[0].id}")

    def _files(self, sample: Sample) -> dict[str, Path]:
        """Find map and mask of a sample.

        Raises:
            DataError: several files could be the one.
        """
        if self.path is None:
            return {}
        found: dict[str, Path] = {}
        usual = {
            "map": (self.maps, [f"{mark}{ending}" for mark in MARKS for ending in MAPS]),
            "mask": (self.masks, [f"{mark}.png" for mark in MASK_MARKS]),
        }
        for kind, (pattern, endings) in usual.items():
            if pattern is not None:
                wanted = [pattern]
            else:
                wanted = [f"{place}{ending}" for place in ("{path}", "{stem}") for ending in endings]
            there = dict.fromkeys(p for w in wanted if (p := self.path / self._filled(w, sample)).is_file())
            if len(there) > 1:
                names = " and ".join(str(p) for p in list(there)[:2])
                raise DataError(f"{names} could both be the {kind} of {sample.id}; say which with pipeline.{kind}s")
            found |= dict.fromkeys([kind], next(iter(there))) if there else {}
        return found

    def _filled(self, pattern: str, sample: Sample) -> str:
        path = PurePosixPath(sample.id)
        words = {
            "path": str(path.with_suffix("")), "stem": path.stem, "category": sample.category,
            "type": sample.defect_type,
        }  # fmt: skip
        try:
            return pattern.format(**words)
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(f"{{{word}}}" for word in words)
            raise ConfigError(
                f"{pattern!r} is no pattern of pipeline.maps or pipeline.masks: it knows {known}"
            ) from error

    def _sized(self, values: NDArray[Any], sample: Sample) -> NDArray[Any]:
        from benchmark.data.images import image_shape

        shape = image_shape(sample.image, sample.reading)
        if values.shape == shape:
            return values
        if self.resize == "error":
            raise DataError(
                f"{sample.id}: its saved prediction is {values.shape[1]}x{values.shape[0]} (width x height), the image "
                f"{shape[1]}x{shape[0]}; save it at image size, or give pipeline.resize=linear"
            )
        import cv2

        nearest = self.resize == "nearest" or values.dtype == np.bool_
        resized: NDArray[Any] = cv2.resize(
            values.astype(np.float32), shape[::-1], interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        )
        return resized.astype(np.bool_) if values.dtype == np.bool_ else resized

    def _nothing(self, without: list[Sample]) -> str:
        first = without[0]
        wanted = self._filled(self.maps or "{path}.npy", first)
        there = [] if self.path is None else [p for p in self.path.rglob("*") if p.is_file()]
        seen = f"; there is {min(there).relative_to(self.path)}" if there and self.path is not None else ""
        return (
            f"{self.path or self.table}: no prediction of {len(without)} images, the first is {first.id}: expected "
            f"{wanted} (or another usual ending, or the name alone) or a row of pipeline.table{seen}; say how they are "
            "named with pipeline.maps, such as {category}/{type}/{stem}.tiff"
        )


def _refuse_shared(files: Mapping[str, Mapping[str, Path]]) -> None:
    """Raise DataError where one file would be the prediction of several images: names repeat across folders."""
    owner: dict[Path, str] = {}
    for sample, found in files.items():
        for kind, path in found.items():
            if owner.setdefault(path, sample) != sample:
                raise DataError(
                    f"{path} would be the {kind} of several images, {owner[path]} and {sample}: keep their folders "
                    f"below pipeline.path, or say with pipeline.{kind}s how they are named"
                )


def read_map(path: Path) -> NDArray[Any]:
    """Read a score map, (H, W) float32 or float64, larger is more defective; of a PNG, the share of the highest level.

    Raises:
        DataError: it cannot be read, is not of one channel, or holds NaN or infinite values.
    """
    values = _array(path)
    if values.dtype.kind not in "fiub":
        raise DataError(f"{path}: a score map of numbers is needed, this is {values.dtype}")
    if values.dtype.kind != "f":
        highest = np.iinfo(values.dtype).max if path.suffix.lower() == ".png" and values.dtype.kind == "u" else 1
        values = values.astype(np.float32) / np.float32(highest)
    elif values.dtype != np.float64:
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: NaN or infinite scores")
    return values


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a binary mask, (H, W): what is not 0 is defect; raises DataError as ``read_map`` does."""
    marked: NDArray[np.bool_] = _array(path) != 0
    return marked


def _array(path: Path) -> NDArray[Any]:
    """Read the only array of a file, without axes of length 1; never a pickle."""
    from benchmark.data.images import opened

    if path.suffix.lower() in (".npy", ".npz"):
        try:
            read = np.load(path, allow_pickle=False)
            if isinstance(read, np.lib.npyio.NpzFile):
                with read:
                    if len(read.files) != 1:
                        raise DataError(
                            f"{path}: holds {len(read.files)} arrays ({', '.join(read.files[:5])}); keep one"
                        )
                    read = read[read.files[0]]
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{path}: cannot be read as a NumPy array ({error}); write it with numpy.save") from error
        values = np.asarray(read)
    elif path.suffix.lower() in (".tif", ".tiff"):
        values = _tiff(path)
    else:
        with opened(path) as image:
            values = np.asarray(image)
    values = np.squeeze(values)
    if values.ndim != 2:
        raise DataError(f"{path}: one channel is needed, (height, width); this has the shape {values.shape}")
    return values


def _tiff(path: Path) -> NDArray[Any]:
    """Read the first page of a TIFF, of 16-bit floats too, which Pillow does not know."""
    import tifffile

    try:
        return np.asarray(tifffile.imread(path, key=0))
    except Exception as error:  # whatever a damaged file makes of a parser
        raise DataError(f"{path}: not a TIFF that can be read ({error}); write it anew") from error
