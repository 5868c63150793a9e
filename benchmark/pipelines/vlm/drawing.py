"""From the places of an answer to regions of the image as its file has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.chat.form import Form
from benchmark.chat.places import Place, read_places
from benchmark.chat.verdict import Verdict
from benchmark.core.drawings import Drawing, Shape
from benchmark.core.samples import MaskSet, Regions
from benchmark.data.draw import draw

if TYPE_CHECKING:
    from benchmark.models.sam import Embedded, SegmentAnything

Mask = NDArray[np.bool_]
NOTES = (
    "malformed", "mirrored", "empty", "outside", "too_many", "clipped", "bad_confidence", "overlapping",
    "regions_but_ok", "nok_but_no_region",
)  # fmt: skip
"""What is noted of answers: five reasons why a defect is not used (``benchmark.chat.places``), three of those that
are (``overlapping``: it shares pixels with an earlier one; the larger score counts there), and labels that say other
than the places; both are taken as they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """The regions that one answer names, at native size."""

    masks: MaskSet
    scores: NDArray[np.float32]
    """(N,) confidence in [0, 1], 1 where the answer gave none."""
    kinds: tuple[str, ...]
    notes: Mapping[str, int]

    @property
    def regions(self) -> Regions:
        """All of them; where they overlap the largest score counts."""
        return Regions(masks=self.masks, index=np.arange(len(self.masks)), scores=self.scores)

    @property
    def unusable(self) -> str | None:
        """Why nothing of the answer can be used, although it names defects; None: something can, or it names none."""
        wrong = {name: self.notes[name] for name in ("malformed", "mirrored") if name in self.notes}
        if len(self.masks) or not wrong:
            return None
        return "no defect has a usable place: " + ", ".join(f"{n} {name}" for name, n in wrong.items())

    def __str__(self) -> str:
        named = zip(self.kinds, self.scores.tolist(), strict=True)
        return "; ".join(f"{kind} {score:.2f}" for kind, score in named)


def place(verdict: Verdict, prepared: Mapping[str, Any], form: Form) -> Placed:
    """Draw what a valid answer names.

    Args:
        verdict: a valid one.
        prepared: how the image was prepared that it speaks of (``prepare``).
        form: how places were asked for.
    """
    sent = (int(prepared["sent_height"]), int(prepared["sent_width"]))
    read = read_places(verdict.defects, form, size=sent)
    matrix = prepared.get("matrix")
    shape = (int(prepared["height"]), int(prepared["width"]))
    drawn = ((one, _in_file(_drawn(one, shape), matrix)) for one in read.found)
    return _with_label(_kept(shape, drawn, read.notes), defective=verdict.label == "NOK")


def _with_label(placed: Placed, *, defective: bool) -> Placed:
    """Note a label that says other than the places."""
    if defective == (len(placed.masks) > 0):
        return placed
    return replace(placed, notes={**placed.notes, "nok_but_no_region" if defective else "regions_but_ok": 1})


def refined(placed: Placed, network: SegmentAnything, image: Embedded) -> Placed:
    """Return regions whose masks are SAM's for the boxes around them; one for which it draws nothing is ``empty``.

    What the notes say of the label beside the places is told anew: all regions may be gone.
    """
    boxes = np.array([_box_around(placed.masks.union([i])) for i in range(len(placed.masks))], dtype=np.float32)
    masks = network.from_boxes(image, boxes.reshape(-1, 4)).masks
    each = zip(placed.kinds, placed.scores.tolist(), strict=True)
    again = [Place(corners=(), kind=kind, confidence=score) for kind, score in each]
    before = {name: n for name, n in placed.notes.items() if name not in ("overlapping", "regions_but_ok")}
    found = _kept(image.size, ((one, masks.union([i])) for i, one in enumerate(again)), before)
    return _with_label(found, defective="regions_but_ok" not in placed.notes)


def _kept(shape: tuple[int, int], drawn: Iterable[tuple[Place, Mask]], before: Mapping[str, int]) -> Placed:
    """Collect regions one by one, as run lengths: many large masks at once would not fit into memory."""
    notes, covered = Counter(before), np.zeros(shape, dtype=bool)
    used: list[Place] = []
    counts: list[bytes] = []
    for one, mask in drawn:
        if not mask.any():
            notes["empty"] += 1
            continue
        notes["overlapping"] += bool((mask & covered).any())
        covered |= mask
        used.append(one)
        counts += MaskSet.encode(mask[None]).counts
    return Placed(
        masks=MaskSet.from_counts(shape, counts),
        scores=np.array([1.0 if p.confidence is None else p.confidence for p in used], dtype=np.float32),
        kinds=tuple(p.kind or "defect" for p in used),
        notes={name: notes[name] for name in NOTES if notes[name]},
    )


def _drawn(one: Place, shape: tuple[int, int]) -> Mask:
    """Draw a place on the image as it was sent, at the size of its file, (H, W)."""
    if one.mask is None:
        points = tuple(value for corner in one.corners for value in corner)
        return draw(Drawing(shapes=(Shape(kind="polygon", points=points),), relative=True), shape)[0]
    (x0, y0), (x1, y1) = one.corners[0], one.corners[2]
    rows, columns = _inside(y0, y1, shape[0], one.mask.shape[0]), _inside(x0, x1, shape[1], one.mask.shape[1])
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(rows[0], columns[0])] = one.mask[np.ix_(rows[1], columns[1])]
    return mask


def _inside(start: float, end: float, size: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of a side whose middle lies in a span, and for each the cell of a mask that fills the span."""
    middles = (np.arange(size) + 0.5) / size
    pixels = np.nonzero((middles >= start) & (middles < end))[0]
    share = (middles[pixels] - start) / (end - start)
    return pixels, np.minimum((share * cells).astype(np.int64), cells - 1)


def _in_file(mask: Mask, matrix: Any) -> Mask:
    """Undo the warp onto the reference, (H, W); ``matrix`` (2, 3) maps reference to image coordinates, None: none."""
    if matrix is None or not mask.any():
        return mask
    import cv2

    warp, size = np.array(matrix, dtype=np.float64), (mask.shape[1], mask.shape[0])
    warped: Mask = cv2.warpAffine(mask.astype(np.uint8), warp, size, flags=cv2.INTER_NEAREST).astype(bool)
    return warped


def _box_around(mask: Mask) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 of the tightest box, pixels, of a mask that is not empty."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
