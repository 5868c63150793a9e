"""What every option of the group ``sam`` is: settings of a network that draws masks for boxes and points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.runtime import Precision
from benchmark.models.sam import Embedded, ScoredMasks
from benchmark.stages.context import Context


class MaskNetwork(Protocol):
    """A loaded network; ``SegmentAnything`` says what each method takes and gives."""

    def embed(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32] | Sequence[Sequence[NDArray[np.float32]]]:
        """Embed images, (H, W, 3) uint8 RGB each of its own size; one array for each, or several."""
        ...

    def from_boxes(self, image: Embedded, boxes: NDArray[np.float32]) -> ScoredMasks:
        """Decode one mask per box."""
        ...

    def from_points(
        self, image: Embedded, points: NDArray[np.int64], labels: NDArray[np.uint8], *, multimask: bool
    ) -> ScoredMasks:
        """Decode the mask that a set of points asks for together."""
        ...

    def everything(
        self,
        image: Embedded,
        *,
        points_per_side: int,
        points_per_batch: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
    ) -> tuple[ScoredMasks, NDArray[np.int64]]:
        """Segment the whole image from a grid of points."""
        ...


class Segmenter(Settings, ABC):
    """The base of every option of the group ``sam``."""

    precision: Precision
    """Of the image encoder; masks are decoded in float32."""
    batch_size: int = Field(ge=1)
    """Images that are embedded together."""

    @abstractmethod
    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for, by the role ``sam``."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes embeddings, as JSON values for a stage."""

    @abstractmethod
    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> MaskNetwork:
        """Return the network, loaded once in this process."""
