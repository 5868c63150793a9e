"""The expensive steps of IAP-AS as stages; none depends on the size rule or on how scores become a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.models.choice import ResolvedWeights
from benchmark.models.sam_stages import SamSettings, detections, embedded
from benchmark.models.toy_tokenizer import bert_tokenizer, toy_tokenizer
from benchmark.pipelines.iap.boxes import clamped, shares, suppressed
from benchmark.pipelines.saa.scoring import corners
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


def candidates_stage(
    context: Context,
    sam: SamSettings,
    chosen: Mapping[str, ResolvedWeights],
    *,
    detection: Stage,
    embedding: Stage,
    box_threshold: float,
    iou: float,
) -> Stage:
    """SAM's mask of every box that non-maximum suppression leaves of all captions.

    The artifact has ``masks``, and per mask the detector's ``scores``, the ``areas`` of the boxes as shares of the
    image, the ``caption``, and ``tokens`` with the captions' ``pieces``.
    """

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        network = sam.load(context, chosen)
        results: list[Artifact] = []
        for one in inputs:
            image, answer = embedded(one.upstream["sam_embedding"]), one.upstream["groundingdino"]
            found = detections(answer)
            index = suppressed(found.boxes, found.scores, size=image.size, threshold=box_threshold, iou=iou)
            edges = clamped(corners(found.boxes[index], image.size), image.size)
            results.append(
                {
                    "masks": network.from_boxes(image, edges).masks,
                    "scores": found.scores[index],
                    "areas": shares(found.boxes[index], image.size),
                    "caption": found.caption[index],
                    "tokens": found.tokens[index],
                    "pieces": answer["pieces"],
                }
            )
        return results

    return Stage(
        name="iap_candidates",
        version=1,
        settings={"box": box_threshold, "iou": iou},
        weights={"sam": chosen["sam"].sha256},
        upstream=(detection, embedding),
        compute=compute,
        needs_image=False,
    )


def token_counter(context: Context, tokenizer: ResolvedWeights) -> Callable[[str], int]:
    """Return what counts the BERT tokens of a text, the two special ones included."""
    vocabulary: Path | None = tokenizer.files.get("vocab.txt")

    def load() -> Any:
        return toy_tokenizer() if vocabulary is None else bert_tokenizer(vocabulary)

    read = context.model(("tokenizer", tokenizer.sha256), load)
    return lambda text: len(read(text, truncation=False)["input_ids"])
