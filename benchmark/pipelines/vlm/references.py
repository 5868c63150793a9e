"""The defect-free images that are shown beside an image: a given one, some of its category, or those nearest to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Sample
from benchmark.core.settings import FilePath, Settings
from benchmark.core.text import counted
from benchmark.data.index import file_facts
from benchmark.data.record_files import content_key
from benchmark.pipelines.vlm.prepare import ImageSettings, Reference
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.models.backbone import Backbone
    from benchmark.stages.codec import Artifact
    from benchmark.stages.context import Context

Find = Callable[[Sample], tuple[Reference, ...]]
"""Returns the references of an image in the order in which they are shown; it is aligned to the first."""


class ReferenceSettings(Settings):
    """The defect-free images that others are aligned to and compared with."""

    kind: Literal["none", "per_category", "nearest", "fixed"]
    """``per_category``: good training images of the sample's category; ``nearest``: those of them whose features are
    most like the image's; ``fixed``: the file ``path`` for all."""
    path: FilePath | None
    index: int = Field(ge=0)
    """Of ``per_category``: which good training image of the category is the first, in the dataset's order."""
    number: int = Field(ge=1, le=16)
    """How many are shown."""
    shown: bool
    """False: it is only aligned to."""


def references(settings: ReferenceSettings, context: Context, image: ImageSettings) -> Find:
    """Return what finds the references of an image; those of a category or a file are read at once.

    Raises:
        DataError: a category with too few good training images, or a file that cannot be read.
        ConfigError: ``fixed`` without a path, or with more than one image.
    """
    if settings.kind == "none":
        return lambda _: ()
    if settings.kind == "fixed":
        one = (_fixed(settings, context, image),)
        return lambda _: one
    found: dict[str, tuple[Reference, ...]] = {}
    for category in context.categories:
        good = good_images(context, category)
        first = settings.index if settings.kind == "per_category" else 0
        if first + settings.number > len(good):
            raise DataError(
                f"category {category!r} of dataset {context.manifest.dataset!r} has "
                f"{counted(len(good), 'good training image')}, "
                f"pipeline.reference.index={first} with number={settings.number} needs {first + settings.number}; use "
                "pipeline.reference.kind=none with pipeline.align.motion=none, or kind=fixed with a path"
            )
        found[category] = tuple(of_sample(one, image) for one in good[first : first + settings.number])
        if settings.kind == "per_category":
            _ = [one.image for one in found[category]]
    return lambda sample: found[sample.category]


def good_images(context: Context, category: str) -> list[Sample]:
    """Return the good training images of a category, in the dataset's order."""
    return [s for s in context.manifest.train if s.category == category and not s.defective]


def of_sample(sample: Sample, settings: ImageSettings) -> Reference:
    """Return a training image as a reference."""
    return Reference(path=sample.image, sha256=sample.sha256, reading=sample.reading, settings=settings)


def _fixed(settings: ReferenceSettings, context: Context, image: ImageSettings) -> Reference:
    path = settings.path
    if path is None:
        raise ConfigError("pipeline.reference.kind=fixed needs pipeline.reference.path=<an image file>")
    if settings.number > 1:
        raise ConfigError("pipeline.reference.kind=fixed is one image: leave pipeline.reference.number at 1")
    if not path.is_file():
        raise DataError(f"{path}: no such reference image; give pipeline.reference.path=<an image file>")
    reading = context.manifest.reading
    content = content_key(file_facts(path.parent, {path.name: "image"})[path.name], reading, deep=True)
    one = Reference(path=path, sha256=content, reading=reading, settings=image)
    _ = one.image
    return one


def feature_stage(context: Context, backbone: Backbone) -> Stage:
    """One vector of an image: ``features`` (D,) float32 of length 1, what the network's own head works from."""
    weights = context.chosen["features"]

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = backbone.load(context, weights, pooled=True)
        rows = network.pooled([one.pixels for one in inputs])
        return [{"features": row / max(float(np.linalg.norm(row)), 1e-12)} for row in rows]

    return Stage(
        name="reference_features",
        version=1,
        settings=backbone.facts(pooled=True),
        weights={"features": weights.sha256},
        compute=compute,
        batch_size=8,
    )


def nearest(settings: ReferenceSettings, context: Context, stage: Stage, image: ImageSettings) -> Find:
    """Return what finds the good training images of the category with the features most like an image's.

    Cosine similarity of ``feature_stage``; of equal ones the first in the dataset's order. All images are looked at
    once, before the first question.

    Raises:
        DataError: a good training image cannot be read.
    """
    chosen: dict[str, tuple[Reference, ...]] = {}
    for category in context.categories:
        good = good_images(context, category)
        known = _features(context, stage, good)
        if len(known) < len(good):
            raise DataError(
                f"{len(good) - len(known)} of the {counted(len(good), 'good image')} of {category} are broken"
            )
        memory = np.stack([known[one.id] for one in good])
        for name, features in _features(context, stage, [s for s in context.samples if s.category == category]).items():
            order = np.argsort(-(memory @ features), kind="stable")[: settings.number]
            chosen[name] = tuple(of_sample(good[i], image) for i in order)

    def find(sample: Sample) -> tuple[Reference, ...]:
        if sample.id not in chosen:
            raise DataError(f"{sample.image}: no features, so no nearest reference; see the failure before this one")
        return chosen[sample.id]

    return find


def _features(context: Context, stage: Stage, samples: Sequence[Sample]) -> Mapping[str, np.ndarray]:
    return {sample.id: np.asarray(artifact["features"]) for sample, artifact in context.run(stage, samples)}
