"""Names of a network's layers: ``stride8`` of a convolutional network, ``block11`` of a transformer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmark.core.errors import ConfigError

PATTERN = r"^(stride\d+|block-?\d+)$"
"""``stride8``: the last map that is 8 times smaller than the input. ``block11``: behind block 11, counted from 0, or
from the end where it is negative."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""ImageNet statistics per RGB channel of values in [0, 1]."""


def indices_of(layers: Sequence[str], strides: Sequence[int], *, model: str) -> list[int]:
    """Return which of a network's maps the layers are.

    Args:
        layers: as ``PATTERN`` says.
        strides: of every map in order; all equal: the maps are a transformer's blocks.
        model: name for messages.

    Raises:
        ConfigError: there is no such layer.
    """
    tokens = len(set(strides)) == 1 and len(strides) > 1
    return [_index(layer, strides, tokens=tokens, model=model) for layer in layers]


def _index(layer: str, strides: Sequence[int], *, tokens: bool, model: str) -> int:
    kind, number = _split(layer)
    if tokens and kind == "block" and -len(strides) <= number < len(strides):
        return number % len(strides)
    if not tokens and kind == "stride" and number in strides:
        return len(strides) - 1 - list(reversed(strides)).index(number)
    there = f"block0 … block{len(strides) - 1}" if tokens else ", ".join(f"stride{s}" for s in dict.fromkeys(strides))
    raise ConfigError(f"backbone.layers: {model} has no layer {layer!r}; it has {there}")


def _split(layer: str) -> tuple[str, int]:
    kind, number = re.match(r"(stride|block)(-?\d+)$", layer).groups()  # type: ignore[union-attr]
    return kind, int(number)


def check_side(side: int | None, *, patch: int, model: str) -> int:
    """Return the side of a transformer's square input, which must be given and be whole patches.

    Raises:
        ConfigError: it is null, or no multiple of ``patch``.
    """
    if side is None:
        raise ConfigError(f"backbone.side: {model} takes squares only; give a multiple of {patch}")
    if side % patch:
        near = max(1, round(side / patch)) * patch
        raise ConfigError(f"backbone.side={side}: {model} cuts its input into patches of {patch}; give {near}")
    return side
