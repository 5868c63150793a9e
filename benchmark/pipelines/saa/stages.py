"""The expensive steps of SAA as stages; none depends on the area rule, on top-K or on how scores are fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.config.group_option import group_option
from benchmark.core.settings import Settings
from benchmark.models.backbone import Backbone
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.sam_stages import Channels, detections, embedded
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.saa import rules, saliency, scoring
from benchmark.pipelines.saa.levels import Levels
from benchmark.pipelines.saa.prompts import Prompts
from benchmark.pipelines.saa.proposals import Thresholds, candidate_boxes, object_area, object_boxes
from benchmark.pipelines.saa.saliency import Neighbours
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.core.samples import MaskSet
    from benchmark.stages.codec import Artifact

T = TypeVar("T")
BATCH = 4
"""Images whose saliency is computed side by side; results do not depend on it."""
LAYERS = ("stride4", "stride8", "stride16")
"""Of the released code (caoyunkang/Segment-Any-Anomaly:SAA/modelinet.py)."""
CHUNK = 16
"""Masks that are decoded to pixels at a time."""


class SaliencySettings(Settings):
    """How conspicuous a place is, and how much that counts."""

    toy: ClassVar = {"backbone.side": "64", "between_side": "64"}

    use: bool
    """False: scores stay those of the detector."""
    backbone: Annotated[Backbone, group_option("pipeline.saliency.backbone")]
    """Its layers are compared together, each next one of half the side; ``side`` is that within one image."""
    channels: Channels
    """``bgr``: the network gets the channels in the wrong order, as in the released code."""
    neighbours: Neighbours
    number: int = Field(ge=1)
    """Places that each place is compared with."""
    factor: float = Field(gt=0)
    """Of the distance 1 - cosine."""
    exponent: float = Field(ge=0)
    """A score is multiplied by exp(exponent * mean saliency)."""
    between_objects: bool
    """Where a category shows several objects, compare them with each other."""
    between_side: int = Field(ge=16, multiple_of=16)
    """Side of the square input between objects, pixels."""

    @field_validator("backbone")
    @classmethod
    def _whole_cells(cls, value: Backbone) -> Backbone:
        if value.side is None or value.side % 16:
            raise ValueError("side must be given, and be a multiple of 16")
        return value

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        return self.backbone.wanted("saliency") if self.use else {}

    def facts(self) -> dict[str, Any]:
        """Return what changes the features, as JSON values."""
        return {**self.backbone.facts(layers=LAYERS, resize="opencv"), "channels": self.channels}

    def each(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        images: Sequence[NDArray[np.uint8]],
        work: Callable[[int, Levels], T],
        *,
        side: int | None = None,
    ) -> list[T]:
        """Return what ``work`` makes of the features of each image, (H, W, 3) RGB (see ``FeatureNetwork.each``)."""
        network = self.backbone.load(context, chosen["saliency"])
        seen = images if self.channels == "rgb" else [image[..., ::-1] for image in images]
        return network.each(seen, lambda number, found: work(number, Levels(found.maps)), side=side)


def objects_stage(
    context: Context,
    sam: Segmenter,
    chosen: Mapping[str, ResolvedWeights],
    *,
    detection: Stage,
    embedding: Stage,
    thresholds: Thresholds,
    questions: int,
    number: int,
) -> Stage:
    """SAM's mask of every object box: ``masks``."""

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        results: list[Artifact] = []
        for one in inputs:
            image, found = embedded(one.upstream["sam_embedding"]), detections(one.upstream[detection.name])
            index = object_boxes(found, thresholds=thresholds, questions=questions, number=number)
            masks = network.from_boxes(image, scoring.corners(found.boxes[index], image.size)).masks
            results.append({"masks": masks})
        return results

    return Stage(
        name="saa_objects",
        version=1,
        settings={"box": thresholds.box, "questions": questions, "number": number},
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def regions_stage(
    context: Context,
    sam: Segmenter,
    chosen: Mapping[str, ResolvedWeights],
    *,
    detection: Stage,
    embedding: Stage,
    thresholds: Thresholds,
    prompts: Prompts,
    ceiling: float | None,
    fallback: bool,
) -> Stage:
    """SAM's mask of every box that may be a defect.

    The artifact has ``masks``, per mask the detector's ``scores``, the ``areas`` of the boxes as shares of the
    image and the ``caption``, and ``object_area``, the largest object box.

    Args:
        ceiling: boxes of this share of ``object_area`` and more get no mask; None: all get one.
        fallback: as for ``candidate_boxes``.
    """
    dropped = [question.drop_phrase for question in prompts.questions]
    asked: Any = {"thresholds": thresholds, "number": prompts.object_number}

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        results: list[Artifact] = []
        for one in inputs:
            image, answer = embedded(one.upstream["sam_embedding"]), one.upstream[detection.name]
            found = detections(answer)
            whole = object_area(found, object_boxes(found, questions=len(dropped), **asked))
            limit = None if ceiling is None else whole * np.float32(ceiling)
            index = candidate_boxes(
                found,
                answer["pieces"],
                thresholds=thresholds,
                dropped=dropped,
                limit=limit,
                fallback=fallback,
                by_phrase="by_phrase" in answer,
            )
            masks = network.from_boxes(image, scoring.corners(found.boxes[index], image.size)).masks
            areas = scoring.box_areas(found.boxes)[index]
            results.append(
                {
                    "masks": masks,
                    "scores": found.scores[index],
                    "areas": areas,
                    "caption": found.caption[index],
                    "object_area": float(whole),
                }
            )
        return results

    return Stage(
        name="saa_regions",
        version=1,
        settings={
            "box": thresholds.box,
            "text": thresholds.text,
            "dropped": dropped,
            "number": prompts.object_number,
            "ceiling": ceiling,
            **({"fallback": True} if fallback else {}),
        },
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def saliency_stage(
    context: Context, settings: SaliencySettings, chosen: Mapping[str, ResolvedWeights], *, objects: Stage | None
) -> Stage:
    """The saliency ``map`` on the feature grid, (S, S) float32, and its ``mode``, ``whole`` or ``between``.

    Args:
        objects: compare these with each other where there are two or more; None: compare places of the image.
    """
    compared = {name: getattr(settings, name) for name in ("neighbours", "number", "factor")}

    def masks_of(one: Inputs) -> NDArray[np.bool_] | None:
        """The objects to compare with each other; None: fewer than two."""
        if objects is None:
            return None
        masks = on_grid(one.upstream[objects.name]["masks"], settings.between_side // 4)
        return masks if len(masks) > 1 else None

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        several = {number: masks for number, one in enumerate(inputs) if (masks := masks_of(one)) is not None}
        alone = [number for number in range(len(inputs)) if number not in several]
        between = settings.each(
            context,
            chosen,
            [inputs[number].pixels for number in several],
            lambda place, levels: saliency.between_objects(levels, list(several.values())[place]),
            side=settings.between_side,
        )
        whole = settings.each(
            context,
            chosen,
            [inputs[number].pixels for number in alone],
            lambda _, levels: saliency.whole_image(levels, **compared),
        )
        found: dict[int, Artifact] = {n: {"map": m, "mode": "between"} for n, m in zip(several, between, strict=True)}
        found |= {n: {"map": m, "mode": "whole"} for n, m in zip(alone, whole, strict=True)}
        return [found[number] for number in range(len(inputs))]

    return Stage(
        name="saa_saliency",
        version=1,
        settings={
            **settings.facts(),
            **compared,
            "between_side": None if objects is None else settings.between_side,
        },
        weights={"saliency": chosen["saliency"].sha256},
        upstream=() if objects is None else (objects,),
        compute=compute,
        batch_size=BATCH,
    )


def facts_stage(*, regions: Stage, salient: Stage | None, objects: Stage | None, colour: bool) -> Stage:
    """What the cheap steps need to know of each region.

    The artifact has ``saliency`` (the mean inside each region, NaN where it is empty) if ``salient`` is given, and
    what ``facts_of`` reads if ``objects`` is given: the facts of every region, and of the largest object, which is
    the whole image where none was found.
    """
    upstream = tuple(stage for stage in (regions, salient, objects) if stage is not None)

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        return [facts(one) for one in inputs]

    def facts(one: Inputs) -> dict[str, Any]:
        masks: MaskSet = one.upstream[regions.name]["masks"]
        result: dict[str, Any] = {}
        if salient is not None:
            wide = saliency.to_image(one.upstream[salient.name]["map"], masks.shape)
            result["saliency"] = np.concatenate([scoring.mean_saliency(part, wide) for part in _chunks(masks)])
        if objects is not None:
            image = one.pixels if colour else None
            whole = largest(one.upstream[objects.name]["masks"])
            result |= _named("object", rules.measure(whole[None], whole, image))
            parts = [rules.measure(part, whole, image) for part in _chunks(masks)]
            result |= _named("region", rules.joined(parts))
        return result

    return Stage(
        name="saa_facts",
        version=1,
        settings={"saliency": salient is not None, "rules": objects is not None, "colour": colour},
        upstream=upstream,
        compute=compute,
        needs_image=colour,
    )


def largest(masks: MaskSet) -> NDArray[np.bool_]:
    """Return the mask with the most pixels, the first of equal ones; all True where there is none."""
    areas = masks.areas()
    if not areas.any():
        return np.ones(masks.shape, dtype=bool)
    return np.asarray(masks.decode([int(areas.argmax())])[0])


def on_grid(masks: MaskSet, side: int) -> NDArray[np.bool_]:
    """Bring masks to a square grid and leave out those that are empty there."""
    small = np.concatenate([saliency.to_grid(part, side) for part in _chunks(masks)])
    return small[small.any(axis=(1, 2))]


def facts_of(artifact: Artifact, which: Literal["region", "object"]) -> rules.Facts:
    """Read the facts of all regions, or of the object, from the artifact of ``facts_stage``."""
    return rules.Facts(**{field.name: artifact[f"{which}_{field.name}"] for field in fields(rules.Facts)})


def _named(which: str, facts: rules.Facts) -> dict[str, Any]:
    return {f"{which}_{name}": value for name, value in vars(facts).items()}


def _chunks(masks: MaskSet) -> Iterator[NDArray[np.bool_]]:
    """Decode masks a few at a time; one empty chunk where there are none."""
    for start in range(0, max(len(masks), 1), CHUNK):
        yield masks.decode(range(start, min(start + CHUNK, len(masks))))
