"""What every option of the group ``sam`` is: settings of a network that draws masks for boxes and points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.runtime import Precision
from benchmark.models.sam import SegmentAnything
from benchmark.stages.context import Context


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
    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> SegmentAnything:
        """Return the network, loaded once in this process."""
