"""How a prediction is scored, as data: one frozen group of settings with a hash."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from benchmark.core.settings import Settings

Interpolation = Literal["nearest", "linear", "cubic"]


class Protocol(Settings):
    """One way to score predictions; the YAML options of ``conf/protocol`` are the presets.

    A comparison is fair only between rows of one ``hash``.
    """

    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None
    """(height, width) at which pixels are compared; None is the native size of each image."""
    interpolation: Interpolation
    """How score maps are brought to ``size``; masks and ground truth always go by nearest neighbour.

    ``nearest`` keeps equal scores equal, and regions as sets. ``cubic`` is computed in float64, as IAP-AS does it
    (sybeam27/IAP-ZSAS:utils/function.py, process_specify_resolution): inside a region of one score its weights differ
    from 1 in their last bits, so that pixels which were equal are ranked by rounding.
    """
    mask_threshold: int = Field(ge=0, le=254)
    """A grey ground-truth mask is a defect where its value is above this (0 or 128 in the literature)."""
    border: Literal["ignore", "foreground", "background"]
    """What the border class of a trimap counts as."""
    include_good: bool
    """Whether the pixels of good images enter the pixel metrics."""
    defective_only_datasets: tuple[str, ...]
    """Datasets of which only the defective images are scored, at pixel level, whatever ``include_good`` says."""
    label_from: Literal["folder", "mask"]
    """The image label: from the dataset's folder, or defective where the mask is not empty."""
    pooling: Literal["category", "image"]
    """Pixel metrics over the pooled pixels of a category, or computed per image and averaged."""
    averaging: Literal["categories", "images"]
    """The headline row: the unweighted mean over categories, or all images taken together."""
    pooled: bool
    """Whether a row over the images of all categories together is computed beside the mean."""
    f1_thresholds: Literal["exact", "linspace100"]
    """``linspace100`` reports ``f1_max_linspace100`` beside every exact ``f1_max``."""
    iou_threshold: float | None
    """A score map without a binary mask is cut here (``score >= threshold``) for IoU; None leaves IoU undefined."""
    normalisation: Literal["none", "image", "category", "image_and_category"]
    """Min-max of the score maps: none, each map before it is resized, or all maps of a category together after that.
    ``category`` keeps the order and moves thresholds only; ``image_and_category`` is computed on the scores, whose
    order it changes where they differ in their last bits (sybeam27/IAP-ZSAS:test_zsas.py)."""
    failures: Literal["wrong", "exclude", "defective", "good"]
    """Failed, invalid and blocked answers count as wrong, are left out, or count as one of the two labels; their
    number is reported either way."""
    aupro_limit: float = Field(gt=0, le=1)
    """AUPRO is taken up to this false-positive rate."""
    resamples: int = Field(ge=0)
    """Bootstrap resamples of an interval; 0 computes none."""
    confidence: float = Field(gt=0, lt=1)
    """Coverage of an interval."""

    @property
    def per_image(self) -> bool:
        """Whether each map is min-max normalised before it is resized."""
        return self.normalisation in ("image", "image_and_category")

    @property
    def per_category(self) -> bool:
        """Whether the maps of a category are min-max normalised together."""
        return self.normalisation in ("category", "image_and_category")

    @property
    def hash(self) -> str:
        """Hash of every field (hex, 64 characters)."""
        fields = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def headline(self) -> Literal["mean", "pooled"]:
        """Which row of a report is the protocol's result."""
        return "mean" if self.averaging == "categories" else "pooled"

    def for_dataset(self, dataset: str | None) -> Protocol:
        """Return the protocol as it applies to one dataset: ``defective_only_datasets`` resolved."""
        defective_only = dataset is not None and dataset in self.defective_only_datasets
        changes = {"defective_only_datasets": (), "include_good": self.include_good and not defective_only}
        return self.model_copy(update=changes)
