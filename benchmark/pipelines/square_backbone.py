"""The backbone of pipelines whose maps are drawn on the square that its images are resized to."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from benchmark.config.group_option import group_option
from benchmark.models.backbone import Backbone


def side_of(backbone: Backbone) -> int:
    """Return the side of the square, pixels; raises ValueError where images keep their size."""
    if backbone.side is None:
        raise ValueError("backbone.side: give the side that images are resized to")
    return backbone.side


def _has_a_side(backbone: Backbone) -> Backbone:
    side_of(backbone)
    return backbone


SquareBackbone = Annotated[Backbone, group_option("pipeline.backbone"), AfterValidator(_has_a_side)]
