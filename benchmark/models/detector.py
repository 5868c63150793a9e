"""What every option of the group ``detector`` is: settings of a network that finds boxes for texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.grounding_dino import Detections
from benchmark.models.long_captions import Fitted, LongCaptions
from benchmark.models.runtime import Precision
from benchmark.stages.context import Context


class DetectionNetwork(Protocol):
    """A loaded network."""

    def detect(self, image: NDArray[np.uint8], captions: Sequence[str], *, floor: float) -> Detections:
        """Return the boxes above a score that normalised captions find in an image, (H, W, 3) RGB."""
        ...

    def pieces(self, captions: Sequence[str]) -> list[list[str]]:
        """Return of each caption the pieces that ``Detections.tokens`` has probabilities of."""
        ...


class Detector(Settings, ABC):
    """The base of every option of the group ``detector``; its artifacts are those of ``detection_stage``."""

    precision: Precision
    floor: float = Field(ge=0, lt=1)
    """Boxes with a score up to this are not stored; thresholds may be swept above it at no cost."""
    long_captions: LongCaptions
    """What becomes of a caption that is longer than the network reads."""

    @property
    def stage(self) -> str:
        """Name of its stage."""
        return "detection"

    @property
    def at_once(self) -> int | None:
        """Images of one call of ``find`` where a run says nothing else; None: it works image by image."""
        return None

    @property
    def by_phrase(self) -> bool:
        """Whether the network scores a phrase as a whole, and not each of its words."""
        return False

    @abstractmethod
    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for; all roles are part of the stage's identity."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes boxes, as JSON values for a stage."""

    @abstractmethod
    def fit(self, context: Context, chosen: Mapping[str, ResolvedWeights], captions: Sequence[str]) -> Fitted:
        """Return normalised captions as the detector is asked them; raises ConfigError for one that is refused."""

    @abstractmethod
    def tokens(self, context: Context, chosen: Mapping[str, ResolvedWeights], caption: str) -> int:
        """Return how many tokens a caption is, special ones included."""

    @abstractmethod
    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> DetectionNetwork:
        """Return the network, loaded once in this process."""

    def find(
        self,
        network: DetectionNetwork,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        contrasts: Sequence[str],
    ) -> list[Detections]:
        """Return the boxes of each image, (H, W, 3) RGB.

        Args:
            contrasts: for each caption a phrase by which a box is told not to be meant, or ""; only a network that
                scores phrases as wholes (``by_phrase``) has to be asked it, and then it stands behind the caption's
                pieces and does not count for the score.
        """
        return [network.detect(image, captions, floor=self.floor) for image in images]
