"""Vision transformers of transformers (DINOv2, DINOv3, SigLIP, ViT …), by a name of the hub or by a folder."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError, WeightsError, reason
from benchmark.models import pretrained, runtime
from benchmark.models.backbone.layers import IMAGENET_MEAN, IMAGENET_STD, check_side, indices_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.backbone.network import Channels
    from benchmark.models.backbone.source import Architecture

_LAST_NORMS = ("layernorm", "norm", "post_layernorm")
"""Names of the normalisation behind the last block."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TransformerBody:
    """A vision transformer, for ``FeatureNetwork``."""

    network: Any
    indices: Sequence[int]
    patch: int
    last_norm: Any
    """Applied to the tokens of every block; None: not asked for."""
    options: dict[str, Any]

    def maps(self, pixels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return a map and a class token, or None, for each block (``Body.maps``)."""
        states = self.network(pixels, output_hidden_states=True, **self.options).hidden_states
        rows, columns = (side // self.patch for side in pixels.shape[-2:])
        return [self._place(states[index + 1], rows, columns) for index in self.indices]

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the pooler's features, or the class token where there is no pooler (``Body.pooled``)."""
        found = self.network(pixels, **self.options)
        pooled: torch.Tensor | None = getattr(found, "pooler_output", None)
        return found.last_hidden_state[:, 0] if pooled is None else pooled

    def _place(self, tokens: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Put patch tokens, which are the last of all tokens, where their patches are."""
        if self.last_norm is not None:
            tokens = self.last_norm(tokens)
        first = tokens.shape[1] - rows * columns
        placed = tokens[:, first:].transpose(1, 2).reshape(tokens.shape[0], -1, rows, columns)
        return placed, tokens[:, 0] if first else None


def published(model: str) -> str | None:
    """Return where the weights are: in the model's folder, or on the hub under its name."""
    return pretrained.published(model)


def normalisation(model: str) -> tuple[Channels, Channels]:
    """Return mean and deviation of ``preprocessor_config.json``; without one ImageNet's.

    Raises:
        WeightsError: it has none of three channels.
    """
    file = pretrained.folder_of(model) / "preprocessor_config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        r, g, b = map(float, said.get("image_mean", IMAGENET_MEAN))
        red, green, blue = map(float, said.get("image_std", IMAGENET_STD))
        if not min(red, green, blue) > 0:
            raise ValueError(f"image_std {said['image_std']}")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{file}: no mean and deviation of three channels ({reason(error)}); get it anew") from None
    return (r, g, b), (red, green, blue)


def described_by(model: str) -> dict[str, Any]:
    """Return the digest of ``config.json``, which makes the architecture what it is.

    Raises:
        WeightsError: it is not there.
    """
    return {"config": hashlib.sha256(_config_file(model).read_bytes()).hexdigest()}


def one_side(model: str) -> bool:
    """Return False: places are interpolated to the side of each input."""
    return False


def build(settings: Architecture, *, weights: Path | None, device: str, pooled: bool) -> TransformerBody:
    """Build a vision transformer from its ``config.json`` (``Source.build``).

    Raises:
        ConfigError: it is no transformer of equal patches, or has no such blocks, or does not take such a side.
        WeightsError: the description is not there, or the file is damaged or belongs to another network.
    """
    from transformers import AutoModel

    whole: Any = pretrained.config_in(_config_file(settings.model).parent, settings.model)
    config = getattr(whole, "vision_config", whole)
    patch, blocks = getattr(config, "patch_size", None), getattr(config, "num_hidden_layers", None)
    if not isinstance(patch, int) or not isinstance(blocks, int) or getattr(config, "num_patches", None):
        raise ConfigError(
            f"backbone.model={settings.model}: {config.model_type} is no transformer of square patches in a grid; "
            "timm has convolutional and hierarchical networks (backbone source timm)"
        )
    check_side(settings.side, patch=patch, model=settings.model)
    indices = indices_of(settings.layers, [patch] * blocks, model=settings.model)

    def make() -> nn.Module:
        network: nn.Module = AutoModel.from_config(config)
        return network

    network: Any = runtime.build(make, device=device, weights=weights)
    if weights is not None:
        network = pretrained.with_weights(
            type(network), config, weights, device=device, optional=lambda name: "pooler" in name and not pooled
        )
    last_norm = None
    if settings.norm:
        inner = getattr(network, "vision_model", network)
        last_norm = next((getattr(inner, name) for name in _LAST_NORMS if hasattr(inner, name)), None)
        if last_norm is None:
            raise ConfigError(f"backbone.norm: {settings.model} has no last normalisation; set it to false")
    takes = inspect.signature(network.forward).parameters
    options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
    return TransformerBody(network=network, indices=indices, patch=patch, last_norm=last_norm, options=options)


def _config_file(model: str) -> Path:
    file = pretrained.folder_of(model) / "config.json"
    if not file.is_file():
        raise WeightsError(f"backbone.model={model}: there is no {file.name} in {file.parent}")
    return file
