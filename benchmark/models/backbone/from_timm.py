"""Feature networks of timm: convolutional ones and transformers, by any name that timm knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError, near_matches
from benchmark.models import runtime
from benchmark.models.backbone import efficientnet
from benchmark.models.backbone.layers import check_side, indices_of
from benchmark.models.weights_file import read_state

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.backbone.network import Channels
    from benchmark.models.backbone.source import Architecture


@dataclass(frozen=True, kw_only=True, eq=False)
class TimmBody:
    """A timm network, for ``FeatureNetwork``."""

    network: Any
    indices: Sequence[int]
    tokens: bool
    """It is a transformer of blocks."""
    norm: bool
    channels_last: bool

    def maps(self, pixels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return a map and a class token, or None, for each layer (``Body.maps``)."""
        asked: dict[str, Any] = {"indices": list(dict.fromkeys(sorted(self.indices))), "stop_early": True}
        if self.tokens:
            asked |= {"return_prefix_tokens": True, "norm": self.norm}
        found = self.network.forward_intermediates(self._laid_out(pixels), intermediates_only=True, **asked)
        pairs = [one if isinstance(one, tuple) else (one, None) for one in found]
        by_index = dict(zip(asked["indices"], pairs, strict=True))
        return [(by_index[index][0], self._class_token(by_index[index][1])) for index in self.indices]

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the classifier would get (``Body.pooled``)."""
        features = self.network.forward_features(self._laid_out(pixels))
        found: torch.Tensor = self.network.forward_head(features, pre_logits=True)
        return found

    def _laid_out(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        return pixels.contiguous(memory_format=torch.channels_last) if self.channels_last else pixels

    def _class_token(self, prefix: torch.Tensor | None) -> torch.Tensor | None:
        has = prefix is not None and prefix.shape[1] > 0 and getattr(self.network, "cls_token", None) is not None
        return prefix[:, 0] if has and prefix is not None else None


def published(model: str) -> str | None:
    """Return the hub's repository that timm names for this model."""
    hub_id = _config(model).hf_hub_id
    return f"hub:{hub_id}" if hub_id else None


def normalisation(model: str) -> tuple[Channels, Channels]:
    """Return mean and deviation of timm's configuration of the model."""
    config = _config(model)
    return tuple(config.mean), tuple(config.std)


def described_by(model: str) -> dict[str, Any]:
    """Return nothing: the name says it all."""
    return {}


def one_side(model: str) -> bool:
    """Whether timm builds the model for one side."""
    return bool(_config(model).fixed_input_size)


def build(settings: Architecture, *, weights: Path | None, device: str, pooled: bool) -> TimmBody:
    """Build the network up to the last layer asked for, or whole for pooled features (``Source.build``).

    Source: huggingface/pytorch-image-models:timm/models, ``forward_intermediates`` of each model.

    Raises:
        ConfigError: timm has no such model, or it has no such layers, or it does not take such a side.
        WeightsError: the file is damaged or belongs to another network.
    """

    def make() -> nn.Module:
        import timm

        if not one_side(settings.model):
            network: nn.Module = timm.create_model(settings.model, pretrained=False)
            return network
        if settings.side is None:
            check_side(None, patch=1, model=settings.model)
        sized: nn.Module = timm.create_model(settings.model, pretrained=False, img_size=settings.side)
        return sized

    network: Any = runtime.build(make, device=device, weights=weights)
    strides = [int(level["reduction"]) for level in getattr(network, "feature_info", ())]
    if not strides or not hasattr(network, "forward_intermediates"):
        raise ConfigError(f"backbone.model={settings.model}: timm gives no feature maps of it; choose another model")
    indices = indices_of(settings.layers, strides, model=settings.model)
    tokens = hasattr(network, "patch_embed") and len(set(strides)) == 1
    if tokens:
        check_side(settings.side, patch=strides[0], model=settings.model)
    _load(network, weights, prune=None if pooled else max(indices), norm=settings.norm)
    channels_last = False
    if efficientnet.is_one(network) and device.startswith("cpu"):
        channels_last = efficientnet.quicken(network)
    return TimmBody(network=network, indices=indices, tokens=tokens, norm=settings.norm, channels_last=channels_last)


def _load(network: Any, weights: Path | None, *, prune: int | None, norm: bool) -> None:
    """Load weights and leave out what no layer needs: the classifier, and what is behind the layer ``prune``."""
    state = None if weights is None else dict(adapted(network, read_state(weights), path=weights))
    whole = set(network.state_dict())
    if prune is None:
        network.reset_classifier(0)
    else:
        network.prune_intermediate_layers([prune], prune_norm=not norm, prune_head=True)
    if state is not None and weights is not None:
        left_out = whole - set(network.state_dict())
        runtime.fill(
            network, state, path=weights, optional=lambda n: n in left_out or n.endswith("num_batches_tracked")
        )


def adapted(network: nn.Module, state: Mapping[str, torch.Tensor], *, path: Path) -> Mapping[str, torch.Tensor]:
    """Return a file's tensors under the network's names; a transformer's places are interpolated to its side."""
    if efficientnet.is_foreign(state):
        return efficientnet.converted(state, network, path=path)
    change: Callable[..., Mapping[str, torch.Tensor]] | None = getattr(
        sys.modules[type(network).__module__], "checkpoint_filter_fn", None
    )
    return state if change is None else change(dict(state), network)


def _config(model: str) -> Any:
    import timm

    try:
        found = timm.get_pretrained_cfg(model)
        if found is not None and timm.is_model(model.partition(".")[0]):
            return found
    except RuntimeError:  # an unknown tag behind the dot
        pass
    raise ConfigError(f"backbone.model={model}: timm has no such model; {near_matches(model, timm.list_models())}")
