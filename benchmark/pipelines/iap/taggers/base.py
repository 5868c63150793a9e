"""What every tagger can do, and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmark.core.samples import Sample
from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.stages.context import Context

ROLE = "tagger"
"""Under which a tagger's weights are asked for."""


class Tag(NamedTuple):
    """One word for what an image shows."""

    word: str
    score: float | None
    """Larger is surer; scores of two taggers cannot be compared. None: the tagger gives none."""


@dataclass(frozen=True, kw_only=True)
class ImageTags:
    """What a tagger says of one image."""

    sample: Sample
    tags: tuple[Tag, ...]
    """The surest first, or in the tagger's own order where it gives no scores."""


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """What a tagger says of a category: tags of its images, or the object's names outright."""

    images: tuple[ImageTags, ...] = ()
    objects: tuple[str, ...] | None = None
    """Names that need no choice among tags; None: choose."""
    source: str | None = None
    """Where the names come from, if not from the images."""


class Tagger(Settings, ABC):
    """The base of every option of the group ``tagger``."""

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for, under the role ``tagger``; by default it needs no weights."""
        return {}

    def check(self) -> None:
        """Refuse a tagger that cannot work here, before any work; raises ConfigError with the fix."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return the JSON facts that a tagger's answer depends on, weights left out."""

    @abstractmethod
    def look(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        normals: Sequence[Sample],
        *,
        dataset: str,
        category: str,
    ) -> Tagged:
        """Return what the good images of a category show."""


def plain_name(category: str) -> str:
    """Return a category's name as a phrase: ``metal_nut`` and ``metal-nut`` become ``metal nut``."""
    return " ".join(category.replace("_", " ").replace("-", " ").lower().split())
