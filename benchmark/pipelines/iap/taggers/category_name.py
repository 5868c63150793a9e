"""The category's name as the only tag: needs nothing, and is the lower bound for any tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.core.samples import Sample
from benchmark.models.choice import ResolvedWeights
from benchmark.pipelines.iap.taggers.base import Tagged, Tagger, plain_name
from benchmark.stages.context import Context


class CategoryName(Tagger):
    """Calls the object by the name of its category."""

    names: dict[str, str]
    """Category to a better name: ``{macaroni1: macaroni}``."""

    def identity(self) -> Mapping[str, Any]:
        """Return kind and names."""
        return {"kind": "category_name", "names": dict(self.names)}

    def look(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        normals: Sequence[Sample],
        *,
        dataset: str,
        category: str,
    ) -> Tagged:
        """Return the name; no image is looked at."""
        return Tagged(objects=(self.names.get(category) or plain_name(category),), source="the category's name")
