"""The expensive steps of IAP-AS as stages; none depends on the size rule or on how scores become a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.models.choice import ResolvedWeights
from benchmark.models.grounding_dino import Detections
from benchmark.models.sam_stages import detections, embedded
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.iap.boxes import SizeRule, clamped, object_share, shares, small_enough, suppressed
from benchmark.pipelines.saa.scoring import corners
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


@dataclass(frozen=True, kw_only=True)
class SizeLimit:
    """What is needed to say how large a candidate may be."""

    rule: SizeRule
    box: float
    """Boxes of the object with a higher score are looked at."""
    iou: float
    """Of its non-maximum suppression."""


def object_area(found: Detections, size: tuple[int, int], limit: SizeLimit) -> np.float32 | None:
    """Return the object's share of the image, from the boxes that its name found; None where there is none."""
    kept = suppressed(found.boxes, found.scores, size=size, threshold=limit.box, iou=limit.iou)
    return object_share(found.boxes[kept], found.scores[kept], size=size, which=limit.rule.of)


def candidates_stage(
    context: Context,
    sam: Segmenter,
    chosen: Mapping[str, ResolvedWeights],
    *,
    detection: Stage,
    embedding: Stage,
    box_threshold: float,
    iou: float,
    questions: int,
    limit: SizeLimit | None,
) -> Stage:
    """SAM's mask of every box that non-maximum suppression leaves of all captions.

    The artifact has ``masks``, and per mask the detector's ``scores``, the ``areas`` of the boxes as shares of the
    image, the ``caption``, and ``tokens`` with the captions' ``pieces``; with ``limit`` also ``n_candidates`` and
    ``object_area``, None where the object was not found.

    Args:
        questions: how many of the detection's captions ask for defects; what stands behind them asks for the object.
        limit: boxes that are too large for it get no mask; None: all get one.
    """

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        results: list[Artifact] = []
        for one in inputs:
            image, answer = embedded(one.upstream["sam_embedding"]), one.upstream[detection.name]
            found, whole = _parted(detections(answer), questions)
            index = suppressed(found.boxes, found.scores, size=image.size, threshold=box_threshold, iou=iou)
            facts: dict[str, Any] = {}
            if limit is not None:
                area = object_area(whole, image.size, limit)
                facts = {"n_candidates": len(index), "object_area": None if area is None else float(area)}
                largest = np.float32(1) if area is None else area
                sizes = shares(found.boxes[index], image.size)
                index = index[small_enough(sizes, object_area=largest, factor=limit.rule.factor)]
            edges = clamped(corners(found.boxes[index], image.size), image.size)
            results.append(
                {
                    "masks": network.from_boxes(image, edges).masks,
                    "scores": found.scores[index],
                    "areas": shares(found.boxes[index], image.size),
                    "caption": found.caption[index],
                    "tokens": found.tokens[index],
                    "pieces": answer["pieces"],
                    **facts,
                }
            )
        return results

    return Stage(
        name="iap_candidates",
        version=1,
        settings={
            "box": box_threshold,
            "iou": iou,
            **({} if limit is None else {"questions": questions, "size": limit.rule.model_dump(mode="json")}),
        },
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def _parted(found: Detections, questions: int) -> tuple[Detections, Detections]:
    """Return what the first captions found, and what the others did."""
    first = found.caption < questions
    mine, rest = ({name: array[kept] for name, array in vars(found).items()} for kept in (first, ~first))
    return Detections(**mine), Detections(**rest)
