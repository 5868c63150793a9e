"""Any pipeline on the tiles of large images: a pipeline of its own around the one that was chosen."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from benchmark.config.pipeline import ImageResults, Pipeline, Plan, predictions
from benchmark.config.tiling import Tiling
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.sample_columns import Samples
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.pipelines.tiles import Cut, cut, merge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmark.models.choice import Networks
    from benchmark.stages.context import Context


def tiled(pipeline: Pipeline, tiling: Tiling, *, option: str) -> Pipeline:
    """Return a pipeline on tiles; without a size of tiles, the pipeline itself.

    Args:
        pipeline: the chosen one.
        tiling: how images are cut.
        option: name of the pipeline's option, for messages.

    Raises:
        ConfigError: the pipeline cannot look at tiles.
    """
    if tiling.size is None:
        return pipeline
    if why := pipeline.refuses("tiles"):
        raise ConfigError(f"tiling.size={tiling.size}: pipeline={option} cannot be tiled: {why}; leave tiling.size out")
    return Tiled(inner=pipeline, tiling=tiling)


class Tiled(Pipeline):
    """Predicts each tile as an image of its own, learns from tiles, and puts the predictions together."""

    inner: Pipeline
    tiling: Tiling
    _made: tuple[Context, _Tiles] | None = PrivateAttr(default=None)

    def plan(self, context: Context) -> Plan:
        """Plan the inner pipeline's stages, for tiles; raises what it raises."""
        tiles = self._tiles(context)
        inner = tiles.context(context)
        plan = self.inner.plan(inner)
        context.notes.append(
            f"tiles of {self.tiling.size} pixels with {self.tiling.overlap:.0%} overlap or more, merged by "
            f"{self.tiling.merge}: {len(tiles.samples)} of {counted(len(tiles.cuts), 'image')}; an image's "
            f"score is that of its "
            "highest tile"
        )

        def predict_all(_: Iterable[ImageResults]) -> Iterator[tuple[Sample, Prediction]]:
            return _merged(predictions(plan, inner), tiles.cuts, inner, context, self.tiling)

        return Plan(stages=plan.stages, samples=tiles.samples, predict_all=predict_all)

    def check(self, context: Context) -> None:
        """Refuse what the inner pipeline refuses of tiles."""
        self.inner.check(self._tiles(context).context(context))

    def networks(self) -> Networks:
        """Return those of the inner pipeline."""
        return self.inner.networks()

    def learns(self) -> tuple[str, str] | None:
        """Return what the inner pipeline learns."""
        return self.inner.learns()

    def reads(self, dataset: str) -> Mapping[str, Path]:
        """Return what the inner pipeline reads."""
        return self.inner.reads(dataset)

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return the tables of the inner pipeline."""
        return self.inner.tables(rows)

    def _tiles(self, context: Context) -> _Tiles:
        if self._made is None or self._made[0] is not context:
            self._made = (context, _Tiles.of(context, self.tiling, by_place=self.inner.by_place()))
        return self._made[1]


@dataclass(frozen=True)
class _Tiles:
    """The tiles of a run's images, and of those that may be learnt from."""

    cuts: tuple[Cut, ...]
    samples: tuple[Sample, ...]
    others: tuple[Sample, ...]
    """Tiles of all that is not predicted: training images, and test images that the run leaves out."""

    @classmethod
    def of(cls, context: Context, tiling: Tiling, *, by_place: bool) -> _Tiles:
        cuts = tuple(cut(sample, tiling, by_place=by_place) for sample in context.samples)
        predicted = {sample.id for sample in context.samples}
        rest = (s for s in context.manifest.samples if s.split == "train" or s.id not in predicted)
        others = tuple(tile for sample in rest for tile in cut(sample, tiling, by_place=by_place).tiles)
        return cls(cuts, tuple(tile for one in cuts for tile in one.tiles), others)

    def context(self, context: Context) -> Context:
        """Return a context of tiles that shares all else but which images failed."""
        inner = copy.copy(context)
        inner.manifest = replace(context.manifest, samples=(*self.others, *self.samples))
        inner.samples, inner.failed = Samples.of(self.samples), {}
        return inner


def _merged(
    stream: Iterator[tuple[Sample, Prediction]],
    cuts: Sequence[Cut],
    inner: Context,
    context: Context,
    tiling: Tiling,
) -> Iterator[tuple[Sample, Prediction]]:
    """Yield the prediction of each image when its last tile is there; an image fails with its first failed tile."""
    from benchmark.data.images import forget_whole_images

    broken: list[Exception] = []

    def following() -> tuple[Sample, Prediction] | None:
        try:
            return next(stream, None)
        except Exception as error:  # the end of the run, and no fault of the image that is put together
            broken.append(error)
            raise

    ahead = following()

    def of_tiles(one: Cut) -> Iterator[Prediction]:
        nonlocal ahead
        for tile in one.tiles:
            if ahead is not None and ahead[0].id == tile.id:
                yield ahead[1]
                ahead = following()
            else:
                yield Prediction(outcome="failed", message=inner.failed.get(tile.id, "no prediction"))

    try:
        for one in cuts:
            tiles = of_tiles(one)
            try:
                prediction = merge(one, tiles, tiling.merge)
            except DataError as error:
                if broken:
                    raise
                context.report(one.sample, error, step="merging tiles")
                prediction = None
            for _ in tiles:  # those behind one that failed
                pass
            failed = [tile.id for tile in one.tiles if tile.id in inner.failed]
            if failed:
                place = "" if len(one.tiles) == 1 else f"tile {failed[0].rpartition('#')[2]}: "
                context.failed[one.sample.id] = f"{place}{inner.failed[failed[0]]}"
            elif prediction is not None:
                yield one.sample, prediction
    finally:
        forget_whole_images()
