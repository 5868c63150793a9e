"""Two hundred answers with places, usual and hostile ones, each with what must come of it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BOX = (200, 100, 600, 500)
"""y0, x0, y1, x1 in thousandths."""
HUGE = 10**400


@dataclass(frozen=True)
class Case:
    """One answer of the form ``answer=masks mask_as=png`` or ``answer=boxes``, asked of Gemini."""

    text: str
    outcome: str
    regions: int = 0
    notes: dict[str, int] = field(default_factory=dict)


def answer(defects: Any, label: str = "NOK", **more: Any) -> str:
    return json.dumps({"reasoning": "seen", "defects": defects, "label": label, **more})


def box(*values: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "scratch", "box_2d": list(values or BOX), "confidence": 0.5, **more}


def png(side: int = 4, level: int = 255) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.full((side, side), level, dtype=np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _boxes() -> list[Case]:
    good = [Case(answer([box(y, x, y + 300, x + 200)]), "ok", 1) for y in range(0, 700, 60) for x in range(0, 800, 100)]
    outside = [
        (1000, 0, 1200, 300),
        (0, -300, 200, 0),
        (2000, 2000, 3000, 3000),
        (-9, 0, -3, 400),
    ]
    over = [
        (-50, 0, 300, 300),
        (500, 500, 1001, 900),
        (0, 900, 100, 1500),
        (-1, -1, 10**300, 1001),
        (0, 0.5, 0.9e3, 1100),
    ]
    mirrored = [(600, 100, 200, 500), (200, 500, 600, 100), (600, 500, 200, 100), (1, 1, 0, 2), (0, 5, 9, 4)]
    empty = [(200, 100, 200, 500), (200, 100, 600, 100), (0, 0, 0, 0), (1000, 1000, 1000, 1000), (500, 3, 900, 3)]
    wrong: list[Any] = [
        None, "200,100,600,500", [], [1, 2, 3], [1, 2, 3, 4, 5], ["1", "2", "3", "4"], [[1, 2], [3, 4]], {"y": 1}, 7,
        [None] * 4, [True, False, True, True], [float("nan")] * 4, [float("inf"), 0, 1, 1], [0, 0, HUGE, 1], [[]] * 4,
        "9" * 5000, [0, 0, -float("inf"), 1], [{}] * 4, ["\ud83d"] * 4, [0, 0, "1e3", 1000], True, [1, 2, [3], 4],
    ]  # fmt: skip
    bad = [Case(answer([{"kind": "x", "box_2d": value}]), "invalid", 0, {"malformed": 1}) for value in wrong]
    beside = [Case(answer([{"box_2d": value}, box()]), "ok", 1, {"malformed": 1}) for value in wrong]
    strange: list[Any] = [
        3,
        "box",
        None,
        [1, 2, 3, 4],
        [],
        {},
        True,
        [[[[]]]],
        {"box": list(BOX)},
        {"bbox_2d": list(BOX)},
    ]
    return [
        *good,
        *(Case(answer([box(*b)]), "ok", 0, {"outside": 1, "nok_but_no_region": 1}) for b in outside),
        *(Case(answer([box(*b)]), "ok", 1, {"clipped": 1}) for b in over),
        *(Case(answer([box(*b)]), "invalid", 0, {"mirrored": 1, "nok_but_no_region": 1}) for b in mirrored),
        *(Case(answer([box(*b)]), "ok", 0, {"empty": 1, "nok_but_no_region": 1}) for b in empty),
        *(Case(answer([box(*b), box()]), "ok", 1, {"mirrored": 1}) for b in mirrored),
        *(Case(c.text, c.outcome, 0, {**c.notes, "nok_but_no_region": 1}) for c in bad),
        *beside,
        *(Case(answer([value, box()]), "ok", 1, {"malformed": 1}) for value in strange),
    ]


def _lists() -> list[Case]:
    wrong = [None, 3, "none", {}, {"box_2d": list(BOX)}, True]
    sure: list[Any] = ["high", 95, -0.1, float("nan"), True, [], HUGE]
    native = json.dumps([{"box_2d": list(BOX), "label": "a dent"}])
    return [
        *(Case(answer(value), "invalid") for value in wrong),
        *(Case(answer([box(confidence=value)]), "ok", 1, {"bad_confidence": 1}) for value in sure),
        Case(answer([box(confidence=None)]), "ok", 1),
        Case(answer([]), "ok", 0, {"nok_but_no_region": 1}),
        Case(answer([], "OK"), "ok"),
        Case(answer([box()], "OK"), "ok", 1, {"regions_but_ok": 1}),
        Case(answer([box(), box()]), "ok", 2, {"overlapping": 1}),
        Case(answer([box(), box(700, 600, 900, 900)]), "ok", 2),
        Case(answer([box()] * 64), "ok", 64, {"overlapping": 63}),
        Case(answer([box()] * 5000), "ok", 64, {"overlapping": 63, "too_many": 4936}),
        Case(answer([box(kind=["x"])]), "ok", 1),
        Case(answer([box(kind="\ud83d" * 300)]), "ok", 1),
        Case(native, "ok", 1),
        Case(f"```json\n{native}\n```", "ok", 1),
        Case("[]", "ok"),
        Case(f"Here: {native} so", "invalid"),
        Case(f"```json\n{native}\n```\n{answer([], 'OK')}", "ok"),
        Case(f"<think>{answer([], 'OK')}</think>{answer([box()])}", "ok", 1),
        Case(answer([box()])[:-9], "invalid"),
        Case(json.dumps({"reasoning": "seen", "label": "NOK"}), "invalid"),
        Case("[" * 3000 + "]" * 3000, "invalid"),
        Case(answer(json.loads("[" * 100 + "]" * 100)), "invalid", 0, {"malformed": 1, "nok_but_no_region": 1}),
        Case("", "invalid"),
        Case("no defect", "invalid"),
    ]


BOXES = (*_boxes(), *_lists())
PIXELS = 12
"""Side of the images that these are answers about, pixels."""


def _masks() -> list[Case]:
    whole, nothing = png(), png(level=100)
    bad: list[Any] = [
        None, "", "x", 3, [whole], whole[:-40], whole[:30], f"data:image/jpeg;base64,{whole}", "A" * (1 << 23),
        base64.b64encode(b"GIF89a" + b"\0" * 40).decode(), base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), whole + "!",
        "\ud83d",
    ]  # fmt: skip
    none = {"malformed": 1, "nok_but_no_region": 1}
    return [
        Case(answer([box(mask=whole)]), "ok", 1),
        Case(answer([box(mask=f"data:image/png;base64,{whole}")]), "ok", 1),
        Case(answer([box(-100, 0, 500, 500, mask=whole)]), "ok", 1, {"clipped": 1}),
        Case(answer([box(mask=nothing)]), "ok", 0, {"empty": 1, "nok_but_no_region": 1}),
        Case(answer([box(mask=png(1))]), "ok", 1),
        Case(answer([box(mask=png(3000))]), "invalid", 0, none),
        Case(answer([box(9, 9, 1, 1, mask=whole)]), "invalid", 0, {"mirrored": 1, "nok_but_no_region": 1}),
        *(Case(answer([box(mask=value)]), "invalid", 0, none) for value in bad),
    ]


MASKS = tuple(_masks())
_OUTLINE = [[100, 100], [100, 800], [800, 800]]
POLYGONS = (
    Case(answer([{"polygon": _OUTLINE}]), "ok", 1),
    Case(answer([{"polygon": [*_OUTLINE, [1200, -100]]}]), "ok", 1, {"clipped": 1}),
    Case(answer([{"polygon": [[5, 5], [5, 5], [5, 5]]}]), "ok", 0, {"empty": 1, "nok_but_no_region": 1}),
    *(
        Case(answer([{"polygon": value}]), "invalid", 0, {"malformed": 1, "nok_but_no_region": 1})
        for value in (
            None,
            [],
            _OUTLINE[:2],
            [1, 2, 3, 4, 5, 6],
            [*_OUTLINE, [1]],
            [[0, 0]] * 5000,
            "M0 0",
            [*_OUTLINE, 3],
        )
    ),
    Case(answer([{"polygon": [[y + 3000, x] for y, x in _OUTLINE]}]), "ok", 0, {"outside": 1, "nok_but_no_region": 1}),
)
