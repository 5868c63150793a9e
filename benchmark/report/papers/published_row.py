"""One published number: what a paper printed, in which unit, under which protocol, and whether it can be relied on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from benchmark.core.errors import near_matches
from benchmark.core.settings import Record

SCALES = {"fraction": 1.0, "percent": 0.01, "percent_points": 0.01}
"""Factor from the printed unit to a fraction; the other units are no ratios."""
OUR_METRIC = {
    "iou_mean_defective": "iou",
    "ap_pixel": "ap",
    "f1_max_pixel": "f1_max",
    "max_iou_pixel": "max_iou",
    "auroc_pixel": "auroc",
    "aupro_30": "aupro",
    "aupro_200step": "aupro_200step",
    "f2": "f2",
    "ap_image": "image_ap",
    "auroc_image": "image_auroc",
    "f1_max_image": "image_f1_max",
    "balanced_accuracy_image": "balanced_accuracy",
    "precision_image": "precision",
    "recall_image": "recall",
    "mmad_accuracy_7tasks": "mmad_accuracy_released",
}
"""Published metric -> the metric of this package that measures the same thing; the others have none."""
OTHER_METRICS = frozenset(
    {"f1_max_region", "f1_max_region_one_to_one", "aupro", "aupro_05", "f1_pixel", "f1_image"}
    | {"delta_f1_max_pixel", "delta_max_iou_pixel", "latency_per_image", "fps", "parameters", "time_share"}
)

Flag = Literal["", "inconsistent", "unreliable", "difference", "derived"]


class PublishedRow(Record):
    """One printed number."""

    paper: str = Field(min_length=1)
    table: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    category: str = Field(min_length=1)
    method: str = Field(min_length=1)
    metric: str
    printed: str = Field(pattern=r"^-?\d+(\.\d+)?$", alias="value")
    """The value with the digits that were printed."""
    unit: Literal["fraction", "percent", "percent_points", "ms", "frames_per_second", "MB"]
    protocol: str
    flag: Flag
    """inconsistent: arithmetically impossible; unreliable: not what its name says, or second-hand;
    difference: between two methods, no level; derived: computed from printed values."""
    source: str = Field(min_length=1)
    note: str

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in OUR_METRIC and value not in OTHER_METRICS:
            raise ValueError(f"no such metric; {near_matches(value, [*OUR_METRIC, *OTHER_METRICS])}")
        return value

    @property
    def value(self) -> float:
        """The printed number, in its printed unit."""
        return float(self.printed)

    @property
    def scale(self) -> float:
        """Factor from the printed unit to a fraction; 1 for units that are no ratio."""
        return SCALES.get(self.unit, 1.0)

    @property
    def fraction(self) -> float | None:
        """The number as our metrics give it, in [0, 1]; None for differences and for units that are no ratio."""
        return self.value * self.scale if self.unit in SCALES and self.flag != "difference" else None

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit, as a fraction."""
        digits = len(self.printed.partition(".")[2])
        return 0.5 * 10.0**-digits * self.scale

    @property
    def remark(self) -> str:
        """The flag as it stands behind a printed value, " (derived)"; empty where there is none."""
        return f" ({self.flag})" if self.flag else ""

    @property
    def usable(self) -> bool:
        """Whether the number can be a target: a level that nothing speaks against."""
        return self.flag in ("", "derived")
