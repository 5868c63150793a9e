"""Which of the detector's boxes are the object, and which may be defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.grounding_dino import Detections, phrase
from benchmark.pipelines.saa.scoring import box_areas


class Thresholds(Settings):
    """Which boxes are looked at."""

    box: float = Field(ge=0, lt=1)
    """Boxes with a higher score are kept."""
    text: float = Field(ge=0, lt=1)
    """Word pieces with a higher probability make up a box's words."""


def object_boxes(found: Detections, *, thresholds: Thresholds, questions: int, number: int) -> NDArray[np.int64]:
    """Return which detected boxes are objects: found by the object's caption, below 1 / ``number`` of the image.

    Args:
        questions: how many captions ask for defects; what stands behind them asks for the object.
        number: objects that one image shows.
    """
    areas = box_areas(found.boxes)
    kept = (found.caption >= questions) & (found.scores > thresholds.box)
    return np.flatnonzero(kept & (areas < 1 / number) & (areas > 0))


def object_area(found: Detections, index: NDArray[np.int64]) -> np.float32:
    """Return the area of the largest object box as a share of the image; 1 where there is none."""
    areas = box_areas(found.boxes)[index]
    return np.float32(areas.max(initial=0)) if areas.size else np.float32(1)


def candidate_boxes(
    found: Detections,
    pieces: Sequence[Sequence[str]],
    *,
    thresholds: Thresholds,
    dropped: Sequence[str],
    limit: np.float32 | None,
    fallback: bool = False,
    by_phrase: bool = False,
) -> NDArray[np.int64]:
    """Return which detected boxes may be defects.

    Args:
        pieces: word pieces of each caption.
        dropped: for each question the phrase that marks a box as not meant; "" marks none.
        limit: areas must be below this share of the image; None: any.
        by_phrase: the pieces are whole phrases, one of them the one that marks a box as not meant; otherwise they are
            words, among which it is looked for.
        fallback: of a question that keeps no box the one of the highest score is taken, whatever its score and area.
    """
    areas = box_areas(found.boxes)
    kept = (found.caption < len(dropped)) & (found.scores > thresholds.box) & (areas > 0)
    if limit is not None:
        kept &= areas < limit
    for question in range(len(dropped)) if fallback else ():
        asked = np.flatnonzero(found.caption == question)
        if len(asked) and not kept[asked].any():
            kept[asked[found.scores[asked].argmax()]] = True
    index = np.flatnonzero(kept)
    meant = np.ones(len(index), dtype=bool)
    for i, box in enumerate(index):
        caption = int(found.caption[box])
        words = dropped[caption]
        if not words:
            continue
        if by_phrase:
            above = zip(pieces[caption], found.tokens[box].tolist(), strict=False)
            meant[i] = all(piece != words or p <= thresholds.text for piece, p in above)
        else:
            meant[i] = words not in phrase(pieces[caption], found.tokens[box], thresholds.text)
    return index[meant]
