"""The places that a model names: whatever it answers, each is used or has a named reason why not.

Written here: each place that is no good has a reason of its own, and ``supervision.Detections.from_vlm`` gives none.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.chat.form import Form
from benchmark.chat.reply import word

MOST = 64
"""Defects of one answer that are read; further ones are counted as ``too_many``."""
MOST_CORNERS = 4096
LONGEST_MASK = 1 << 22
"""Characters of a mask in base64."""
LARGEST_MASK = 1 << 22
"""Pixels of a mask."""
FAR = 10.0
"""An outline with a corner farther away than this many images is outside, whatever its other corners are."""
LONGEST_KIND = 80
Unusable = Literal["malformed", "mirrored", "empty", "outside", "too_many"]
"""Why a defect has no place: it cannot be read; its far side comes before its near one; it covers nothing; it lies
wholly beside the image; or there are too many."""
_DATA = re.compile(r"data:image/png;base64,", re.IGNORECASE)
_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """One defect: x and y are shares of the sent image's width and height, from its top left corner."""

    corners: tuple[tuple[float, float], ...]
    """(x, y) of an outline, or of a box, in turn; some may lie outside."""
    kind: str | None
    confidence: float | None
    """In [0, 1]; None where the model gave none."""
    mask: NDArray[np.bool_] | None = None
    """(h, w) that fills the box; None: all inside of the corners is the defect."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of one answer."""

    found: tuple[Place, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    """How many defects were unusable, by reason (``Unusable``), and how many used ones were not as asked
    (``clipped``: they reach over the border; ``bad_confidence``: the confidence is no number in [0, 1])."""


class _Unusable(Exception):
    def __init__(self, reason: Unusable) -> None:
        self.reason: Unusable = reason


def read_places(defects: Sequence[Any], form: Form, *, size: tuple[int, int]) -> Places:
    """Read the defects of an answer, in time that grows with its length alone.

    Args:
        defects: JSON values.
        form: how they were asked for.
        size: (H, W) of the image as it was sent.
    """
    notes: Counter[str] = Counter()
    found = []
    for one in defects[:MOST]:
        try:
            found.append(_place(one, form, size, notes))
        except _Unusable as error:
            notes[error.reason] += 1
    if len(defects) > MOST:
        notes["too_many"] += len(defects) - MOST
    return Places(found=tuple(found), notes={name: n for name, n in sorted(notes.items()) if n})


def _place(one: Any, form: Form, size: tuple[int, int], notes: Counter[str]) -> Place:
    if not isinstance(one, Mapping):
        raise _Unusable("malformed")
    mask, is_outline = None, form.answer == "masks" and form.mask_as == "polygon"
    if is_outline:
        corners = tuple(_points(one.get("polygon"), form, size))
        if len(corners) < 3:
            raise _Unusable("malformed")
    else:
        corners = _box(one, form, size)
        if form.answer == "masks":
            mask = _mask(one.get("mask"))
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    far = is_outline and max(map(abs, (*xs, *ys))) > FAR
    if far or max(xs) <= 0 or max(ys) <= 0 or min(xs) >= 1 or min(ys) >= 1:
        raise _Unusable("outside")
    if min(*xs, *ys) < 0 or max(*xs, *ys) > 1:
        notes["clipped"] += 1
        if not is_outline and mask is None:  # the rest of a box is a box
            corners = tuple((min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)) for x, y in corners)
    sure = one.get("confidence")
    confidence = confidence_in(sure)
    notes["bad_confidence"] += sure is not None and confidence is None
    kind = word(one.get("kind")) or word(one.get("label"))
    return Place(corners=corners, kind=kind[:LONGEST_KIND] if kind else None, confidence=confidence, mask=mask)


def confidence_in(value: Any) -> float | None:
    """Return a number in [0, 1]; None for all else."""
    number = _number(value)
    return number if number is not None and 0.0 <= number <= 1.0 else None


def _box(one: Mapping[str, Any], form: Form, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    values = one.get(form.box_name)  # under the other convention's name it would be of another order
    if not isinstance(values, list) or len(values) != 4:
        raise _Unusable("malformed")
    (x0, y0), (x1, y1) = _points([values[:2], values[2:]], form, size)
    if x1 < x0 or y1 < y0:
        raise _Unusable("mirrored")
    if x1 == x0 or y1 == y0:
        raise _Unusable("empty")
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _points(values: Any, form: Form, size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Yield corners as (x, y) in shares of the image."""
    if not isinstance(values, list) or len(values) > MOST_CORNERS:
        raise _Unusable("malformed")
    height, width = size if form.coordinates == "xy_pixels" else (1000, 1000)
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2:
            raise _Unusable("malformed")
        first, second = _number(pair[0]), _number(pair[1])
        if first is None or second is None:
            raise _Unusable("malformed")
        x, y = (second, first) if form.coordinates == "yx_1000" else (first, second)
        yield x / width, y / height


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _mask(value: Any) -> NDArray[np.bool_]:
    """Read a PNG in base64, (h, w) True above the grey level 127."""
    from PIL import Image

    if not isinstance(value, str) or len(value) > LONGEST_MASK:
        raise _Unusable("malformed")
    try:
        begins = _DATA.match(value)
        data = base64.b64decode(value[begins.end() if begins else 0 :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.width * picture.height > LARGEST_MASK or picture.mode not in _MODES:
                raise _Unusable("malformed")
            inside: NDArray[np.bool_] = np.asarray(picture.convert("L")) > 127
    except _Unusable:
        raise
    except Exception:  # of Pillow, over bytes that are no image: whatever it is, the answer holds no mask
        raise _Unusable("malformed") from None
    if not inside.any():
        raise _Unusable("empty")
    return inside
