"""What a model is asked to answer: the JSON schema of it, and words that ask for the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Order = Literal["reasoning_first", "label_first"]
Kind = Literal["label", "boxes", "masks"]
Coordinates = Literal["yx_1000", "xy_1000", "xy_pixels"]
"""What the numbers of a place are: thousandths of height and width, y first (Gemini); thousandths of width and height,
x first (Qwen3-VL); or pixels of the image as it is sent, x first (Qwen2.5-VL)."""
MaskAs = Literal["polygon", "png"]
"""Corners of an outline, or a PNG of grey levels in base64 that fills a box, defect above 127 (Gemini 2.5)."""

_BOX = {
    "yx_1000": ("[ymin, xmin, ymax, xmax]", "whole numbers from 0 to 1000, thousandths of the height and the width"),
    "xy_1000": ("[xmin, ymin, xmax, ymax]", "whole numbers from 0 to 1000, thousandths of the width and the height"),
    "xy_pixels": ("[xmin, ymin, xmax, ymax]", "in pixels"),
}
_LABEL = "NOK if the image contains an anomaly or defect, OK if it contains none."
_SURE = "How sure you are of the label, from 0 to 1."


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is asked for beside the question itself."""

    order: Order
    """With reasoning first the model thinks before it labels."""
    answer: Kind = "label"
    coordinates: Coordinates = "yx_1000"
    mask_as: MaskAs = "polygon"
    confidence: bool = False
    """Whether the model says how sure it is of the label."""
    logprobs: bool = False
    """Whether the interface is asked for the log-probabilities of the answer's tokens."""

    @property
    def places(self) -> bool:
        """Whether defects are asked for with their place."""
        return self.answer != "label"

    @property
    def box_name(self) -> str:
        """What a box is called, as the models of the convention were trained on."""
        return "box_2d" if self.coordinates == "yx_1000" else "bbox_2d"

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the answer in order."""
        called = ("label", *(("confidence",) if self.confidence else ()))
        reasons = ("reasoning", *(("defects",) if self.places else ()))
        return (*reasons, *called) if self.order == "reasoning_first" else (*called, *reversed(reasons))

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the answer."""
        fields: dict[str, Any] = {
            "reasoning": {"type": "string", "description": "The specific reason for the label."},
            "label": {"type": "string", "enum": ["OK", "NOK"], "description": _LABEL},
            "confidence": {"type": "number", "description": _SURE},
            "defects": {
                "type": "array",
                "description": "Every defect of the last image with its place; empty if there is none.",
                "items": _object({name: self._part(name) for name in self._parts}),
            },
        }
        return _object({name: fields[name] for name in self.names})

    def instruction(self) -> str:
        """Return the words that ask for the same JSON from a model without structured output."""
        shown = {
            "reasoning": '"reasoning": "…"',
            "label": '"label": "OK" or "NOK"',
            "confidence": '"confidence": 0.0 to 1.0',
            "defects": '"defects": [{' + ", ".join(f'"{name}": …' for name in self._parts) + "}, …]",
        }
        sure = " The confidence says how sure you are of the label, from 0 to 1." if self.confidence else ""
        return (
            f"Answer with one JSON object and nothing else: {{{', '.join(shown[name] for name in self.names)}}}. "
            f"The label is {_LABEL}{sure}"
        )

    def request(self) -> str | None:
        """Return the words that ask for places, which every model is told beside the schema; None: none are asked."""
        if not self.places:
            return None
        parts = "; ".join(f"{name}: {self._part(name)['description']}" for name in self._parts)
        return (
            "List every defect of the last image under defects, one entry each, and leave the list empty if there is "
            f"none. Of each give {parts}."
        )

    @property
    def _parts(self) -> tuple[str, ...]:
        mask = ("polygon",) if self.mask_as == "polygon" else (self.box_name, "mask")
        return ("kind", *(mask if self.answer == "masks" else (self.box_name,)), "confidence")

    def _part(self, name: str) -> dict[str, Any]:
        box, unit = _BOX[self.coordinates]
        pair = "[y, x]" if self.coordinates == "yx_1000" else "[x, y]"
        numbers = {"type": "array", "items": {"type": "number"}}
        described: dict[str, tuple[dict[str, Any], str]] = {
            "kind": ({"type": "string"}, "what it is, in a few words"),
            "polygon": (
                {"type": "array", "items": numbers},
                f"its outline as a list of corners {pair}, {unit} of the last image",
            ),
            "mask": (
                {"type": "string"},
                "a PNG in base64 (data:image/png;base64,…) that fills the box, grey levels above 127 on the defect",
            ),
            "confidence": ({"type": "number"}, "how sure you are of it, from 0 to 1"),
            self.box_name: (numbers, f"the tightest box around it as {box}, {unit} of the last image"),
        }
        kind, description = described[name]
        return {**kind, "description": description}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    names = list(fields)
    return {"type": "object", "properties": fields, "required": names, "propertyOrdering": names}
