"""Predictions that another program made, in any language: score maps, masks, scores and labels as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan, Use
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import MaskSet, Prediction, Regions, Sample
from benchmark.core.settings import FilePath, FolderPath
from benchmark.core.text import counted
from benchmark.pipelines.saved_batches import read_batches
from benchmark.pipelines.saved_coco import CocoSettings, read_coco
from benchmark.pipelines.saved_export import exported, own_export
from benchmark.pipelines.saved_files import of_files, resized
from benchmark.pipelines.saved_layouts import find_layout, refuse_picture
from benchmark.pipelines.saved_names import filled, find_files, refuse_shared
from benchmark.pipelines.saved_table import read_table
from benchmark.results.export_coco import IMAGES

if TYPE_CHECKING:
    from benchmark.stages.context import Context

T = TypeVar("T")
Source = Mapping[str, Callable[[], Prediction]]
"""What reads the prediction of an image, or a part of it, by the image's id."""


class Saved(Pipeline):
    """Reads the prediction of each image from files that carry its path or name.

    What the files of one image say holds before the table, and that before COCO.
    """

    path: FolderPath | None
    """Folder of maps and masks, of batches that anomalib saved, or what ``run.export`` wrote; None: there is none."""
    maps: str | None
    """Where a map lies below the folder: ``{path}`` (of the image, without its ending), ``{category}``, ``{type}``,
    ``{stem}``; None: a layout that is known, or ``{path}`` or ``{stem}`` with a usual ending."""
    masks: str | None
    """Likewise for binary masks; None: ``{path}_mask.png`` and its like."""
    table: FilePath | None
    """CSV with a column ``image``, and ``score``, ``label`` or both."""
    coco: FilePath | None
    """COCO results, or an object with ``images`` and ``annotations``: regions with or without scores."""
    coco_images: FilePath | None
    """JSON file with the list ``images`` that the results' numbers are of; None: the file itself, or ``coco.json``
    beside it."""
    coco_boxes: Literal["error", "mask"]
    """What a box without an outline is: refused, or a region of all pixels in it."""
    coco_threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """The mask is the union of the regions of this score or more; None: of all."""
    resize: Literal["error", "linear", "nearest"]
    """What becomes of a map or mask of another size than its image; regions and masks are resized by ``nearest``."""
    on_missing: Literal["row", "error"]
    """``row``: an image without a prediction is a failed answer."""

    def check(self, context: Context) -> None:
        """Refuse settings that name nothing to read."""
        if self.missing():
            raise ConfigError(
                "pipeline=saved reads predictions: give pipeline.path=<folder of score maps or masks>, "
                "pipeline.coco=<COCO results>, pipeline.table=<CSV of image, score, label>, or several"
            )
        if self.path is not None and not self.path.is_dir():
            word = {".json": "coco", ".csv": "table"}.get(self.path.suffix.lower()) if self.path.is_file() else None
            fix = (
                f"a file; give it as pipeline.{word}"
                if word
                else "no such folder; give pipeline.path=<folder of score maps or masks>"
            )
            raise DataError(f"{self.path}: {fix}")

    def missing(self) -> tuple[str, str | None] | None:
        """Return that nothing is named to read, where that is so."""
        named = {self.path, self.table, self.coco} != {None}
        return None if named else ("give pipeline.path, pipeline.coco or pipeline.table", None)

    def refuses(self, use: Use) -> str | None:
        """Refuse tiles: the files are of whole images."""
        return "its files are of whole images" if use == "tiles" else None

    def reads(self, dataset: str) -> Mapping[str, Path]:
        """Return folder and files: what they hold is part of the run."""
        places = {"path": self.path, "table": self.table, "coco": self.coco, "coco_images": self._coco_images()}
        return {key: place for key, place in places.items() if place is not None and place.exists()}

    def not_in_result(self) -> tuple[str, ...]:
        """Return folder and files: where they lie is not."""
        return ("path", "table", "coco", "coco_images")

    def plan(self, context: Context) -> Plan:
        """Plan to read each image's files when its turn comes.

        Raises:
            DataError: nothing in the folder and the files is of any image, or (``on_missing: error``) not of each.
        """
        sources = [source for source in self._sources(context) if source]
        self._tell_missing(context, [s for s in context.samples if not any(s.id in source for source in sources)])

        def predict(one: ImageResults) -> Prediction:
            parts = [source[one.sample.id]() for source in sources if one.sample.id in source]
            return self._sized(_merged(parts), one.sample)

        return Plan(predict=predict)

    def _sources(self, context: Context) -> list[Source]:
        """Return what holds predictions, that which goes before others first."""
        sources: list[Source] = []
        by_rule = self.maps is None and self.masks is None
        if by_rule and self.table is None and self.coco is None and (index := own_export(self.path)) is not None:
            assert self.path is not None
            sources, notes = exported(self.path, index, context.samples, self._coco_settings())
            context.notes += notes
            return sources
        batches = read_batches(self.path, context.samples) if self.path is not None and by_rule else None
        if batches is not None:
            sources.append(batches[0])
            context.notes += batches[1]
        elif self.path is not None:
            layout = find_layout(self.path, context.categories) if by_rule else None
            files = {
                s.id: found
                for s in context.samples
                if (found := find_files(self.path, s, maps=self.maps, masks=self.masks, layout=layout))
            }
            refuse_shared(files)
            if layout is not None and layout.pictures and (shown := [f["map"] for f in files.values() if "map" in f]):
                refuse_picture(shown[0])
            if layout is not None and files:
                context.notes.append(f"predictions are found as in {layout.name}")
            sources.append({key: partial(of_files, found) for key, found in files.items()})
        if self.table is not None:
            rows = read_table(self.table, context.samples)
            sources.append({key: partial(Prediction, image_score=s, label=label) for key, (s, label) in rows.items()})
        if self.coco is not None:
            source, notes = read_coco(self.coco, context.samples, self._coco_settings())
            context.notes += notes
            sources.append(source)
        return sources

    def _coco_images(self) -> Path | None:
        if self.coco_images is not None or self.coco is None:
            return self.coco_images
        return beside if (beside := self.coco.with_name(IMAGES)).is_file() and beside != self.coco else None

    def _coco_settings(self) -> CocoSettings:
        return CocoSettings(images=self.coco_images, boxes=self.coco_boxes, threshold=self.coco_threshold)

    def _tell_missing(self, context: Context, without: list[Sample]) -> None:
        """Note images without a prediction, or raise DataError where that is so of all or not allowed."""
        if without and (len(without) == len(context.samples) or self.on_missing == "error"):
            raise DataError(self._nothing(without))
        if without:
            context.notes.append(
                f"{counted(len(without), 'image has', 'images have')} no saved prediction, the first is {without[0].id}"
            )

    def _sized(self, prediction: Prediction, sample: Sample) -> Prediction:
        """Return a prediction at the size of its image; raises DataError where ``resize`` allows no other."""
        from benchmark.data.images import image_shape

        parts = [
            prediction.score_map,
            prediction.mask,
            None if prediction.regions is None else prediction.regions.masks,
        ]
        if all(part is None for part in parts):
            return prediction
        shape = image_shape(sample.image, sample.reading)
        other = next((part.shape for part in parts if part is not None and part.shape != shape), None)
        if other is None:
            return prediction
        if self.resize == "error":
            raise DataError(
                f"{sample.id}: its saved prediction is {other[1]}x{other[0]} (width x height), the image "
                f"{shape[1]}x{shape[0]}; save it at image size, or give pipeline.resize=linear"
            )
        return replace(
            prediction,
            score_map=None
            if prediction.score_map is None
            else resized(prediction.score_map, shape, linear=self.resize == "linear"),
            mask=None if prediction.mask is None else resized(prediction.mask, shape, linear=False),
            regions=None if prediction.regions is None else _resized(prediction.regions, shape),
        )

    def _nothing(self, without: list[Sample]) -> str:
        first = without[0]
        wanted = filled(self.maps or "{path}.npy", first)
        there = [] if self.path is None else [p for p in self.path.rglob("*") if p.is_file()]
        seen = f"; there is {min(there).relative_to(self.path)}" if there and self.path is not None else ""
        return (
            f"{self.path or self.table or self.coco}: no prediction of {counted(len(without), 'image')}, "
            f"the first is {first.id}: "
            f"expected {wanted} (or another usual ending, or the name alone) or an entry of pipeline.table or "
            f"pipeline.coco{seen}; say how they are named with pipeline.maps, as {{category}}/{{type}}/{{stem}}.tiff"
        )


def _merged(parts: Sequence[Prediction]) -> Prediction:
    """Return what several sources say together: of each part what the first one says that says anything."""
    if not parts:
        return Prediction(outcome="failed", message="no saved prediction")
    failed = next((part for part in parts if part.outcome != "ok"), None)
    if failed is not None:
        return failed
    dense = next((part for part in parts if part.score_map is not None or part.regions is not None), Prediction())
    return Prediction(
        score_map=dense.score_map,
        regions=dense.regions,
        mask=_first(part.mask for part in parts),
        image_score=_first(part.image_score for part in parts),
        label=_first(part.label for part in parts),
        rationale=_first(part.rationale for part in parts),
    )


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _resized(regions: Regions, shape: tuple[int, int]) -> Regions:
    masks = (resized(regions.masks.decode([at])[0], shape, linear=False) for at in range(len(regions.masks)))
    codes = [MaskSet.encode(mask[None]).counts[0] for mask in masks]
    return replace(regions, masks=MaskSet.from_counts(shape, codes))
