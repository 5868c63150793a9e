"""The expensive steps of SAA as stages; none depends on the area rule, on top-K or on how scores are fused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.models import wide_resnet
from benchmark.models.choice import Chosen, Wanted, WeightsSetting
from benchmark.models.prompted import Channels, SamSettings, detections, embedded
from benchmark.models.runtime import Device, Precision
from benchmark.models.wide_resnet import SaliencyName, feature_maps, load_wide_resnet
from benchmark.saa import rules, saliency, scoring
from benchmark.saa.levels import Levels
from benchmark.saa.prompts import Prompts
from benchmark.saa.proposals import Thresholds, candidate_boxes, object_area, object_boxes
from benchmark.saa.saliency import Neighbours
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact
    from benchmark.samples import MaskSet

CHUNK = 16
"""Masks that are decoded to pixels at a time."""


class SaliencySettings(Settings):
    """How conspicuous a place is, and how much that counts."""

    use: bool
    """False: scores stay those of the detector."""
    model: SaliencyName
    weights: WeightsSetting
    precision: Precision
    channels: Channels
    """``bgr``: the network gets the channels in the wrong order, as in the released code."""
    side: int = Field(ge=16, multiple_of=16)
    """Side of the square input within one image, pixels."""
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

    def wanted(self) -> dict[str, Wanted]:
        """Return what to ask ``choose`` for."""
        if not self.use:
            return {}
        published = wide_resnet.PUBLISHED.get(self.model)
        return {"saliency": Wanted(weights=self.weights, published=published, network=f"saliency {self.model}")}

    def levels(self, context: Context, chosen: Mapping[str, Chosen], image: NDArray[np.uint8], *, side: int) -> Levels:
        """Return the features of an image, (H, W, 3) RGB, squeezed to ``side``."""
        device, weights = Device(name=context.device, precision=self.precision), chosen["saliency"]
        network = context.model(
            ("saliency", self.model, weights.sha256, context.device),
            lambda: load_wide_resnet(self.model, weights=weights.path, device=context.device),
        )
        pixels = image if self.channels == "rgb" else image[..., ::-1]
        return Levels(feature_maps(network, np.ascontiguousarray(pixels), side=side, device=device))


def objects_stage(
    context: Context,
    sam: SamSettings,
    chosen: Mapping[str, Chosen],
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
            image, found = embedded(one.upstream["sam_embedding"]), detections(one.upstream["groundingdino"])
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
    sam: SamSettings,
    chosen: Mapping[str, Chosen],
    *,
    detection: Stage,
    embedding: Stage,
    thresholds: Thresholds,
    prompts: Prompts,
    ceiling: float | None,
) -> Stage:
    """SAM's mask of every box that may be a defect.

    The artifact has ``masks``, per mask the detector's ``scores``, the ``areas`` of the boxes as shares of the
    image and the ``caption``, and ``object_area``, the largest object box.

    Args:
        ceiling: boxes of this share of ``object_area`` and more get no mask; None: all get one.
    """
    dropped = [question.drop_phrase for question in prompts.questions]
    asked: Any = {"thresholds": thresholds, "number": prompts.object_number}

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        results: list[Artifact] = []
        for one in inputs:
            image, answer = embedded(one.upstream["sam_embedding"]), one.upstream["groundingdino"]
            found = detections(answer)
            whole = object_area(found, object_boxes(found, questions=len(dropped), **asked))
            limit = None if ceiling is None else whole * np.float32(ceiling)
            index = candidate_boxes(found, answer["pieces"], thresholds=thresholds, dropped=dropped, limit=limit)
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
        },
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def saliency_stage(
    context: Context, settings: SaliencySettings, chosen: Mapping[str, Chosen], *, objects: Stage | None
) -> Stage:
    """The saliency ``map`` on the feature grid, (S, S) float32, and its ``mode``, ``whole`` or ``between``.

    Args:
        objects: compare these with each other where there are two or more; None: compare places of the image.
    """
    whole = {name: getattr(settings, name) for name in ("side", "neighbours", "number", "factor")}
    common = {name: getattr(settings, name) for name in ("model", "precision", "channels")}

    def one_map(one: Inputs) -> tuple[NDArray[np.float32], Literal["whole", "between"]]:
        if objects is not None:
            grid = settings.between_side // 4
            masks = on_grid(one.upstream[objects.name]["masks"], grid)
            if len(masks) > 1:
                levels = settings.levels(context, chosen, one.pixels, side=settings.between_side)
                return saliency.between_objects(levels, masks), "between"
        levels = settings.levels(context, chosen, one.pixels, side=settings.side)
        found = saliency.whole_image(
            levels, number=settings.number, neighbours=settings.neighbours, factor=settings.factor
        )
        return found, "whole"

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        return [{"map": found, "mode": mode} for found, mode in map(one_map, inputs)]

    return Stage(
        name="saa_saliency",
        version=1,
        settings={**common, **whole, "between_side": None if objects is None else settings.between_side},
        weights={"saliency": chosen["saliency"].sha256},
        upstream=() if objects is None else (objects,),
        compute=compute,
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
