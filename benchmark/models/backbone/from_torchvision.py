"""torchvision's ResNets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError, near_matches
from benchmark.models import runtime
from benchmark.models.backbone.layers import IMAGENET_MEAN, IMAGENET_STD, indices_of
from benchmark.weights import names

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.backbone.network import Channels
    from benchmark.models.backbone.source import Architecture

STRIDES = (4, 8, 16, 32)
"""Of the four stages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResNetBody:
    """A torchvision ResNet, for ``FeatureNetwork``."""

    network: Any
    indices: Sequence[int]

    def maps(self, pixels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return the maps behind the stages (``Body.maps``)."""
        net = self.network
        found = [net.maxpool(net.relu(net.bn1(net.conv1(pixels))))]
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4)[: max(self.indices) + 1]:
            found.append(stage(found[-1]))
        return [(found[index + 1], None) for index in self.indices]

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the globally pooled features of the last stage (``Body.pooled``)."""
        found: torch.Tensor = self.network(pixels)
        return found


def published(model: str) -> str | None:
    """Return the name of the model's first ImageNet weights in the weights registry; None where it has none."""
    name = f"{model}_imagenet"
    return name if name in names() else None


def normalisation(model: str) -> tuple[Channels, Channels]:
    """Return ImageNet's statistics, as all of torchvision's ResNets were trained with."""
    return IMAGENET_MEAN, IMAGENET_STD


def described_by(model: str) -> dict[str, Any]:
    """Return nothing: the name says it all."""
    return {}


def one_side(model: str) -> bool:
    """Return False: a ResNet takes any side."""
    return False


def build(settings: Architecture, *, weights: Path | None, device: str, pooled: bool) -> ResNetBody:
    """Build a ResNet without its classifier (``Source.build``).

    Source: He et al., arXiv 1512.03385; pytorch/vision:torchvision/models/resnet.py.

    Raises:
        ConfigError: torchvision has no such ResNet, or it has no such layers.
        WeightsError: the file holds more than tensors, or not those of this network.
    """
    indices = indices_of(settings.layers, STRIDES, model=settings.model)

    def make() -> nn.Module:
        import torch
        from torchvision.models import resnet

        known = [name for name in vars(resnet) if name.startswith(("resnet", "resnext", "wide_resnet"))]
        if settings.model not in known:
            near = near_matches(settings.model, known)
            raise ConfigError(f"backbone.model={settings.model}: torchvision has no such ResNet; {near}")
        network: nn.Module = getattr(resnet, settings.model)(weights=None)
        network.fc = torch.nn.Identity()
        return network

    network = runtime.load(runtime.build(make, device=device, weights=weights), weights, optional=_not_needed)
    return ResNetBody(network=network, indices=indices)


def _not_needed(name: str) -> bool:
    """Whether a tensor is of the classifier, or a batch counter (files older than PyTorch 0.4.1 lack them)."""
    return name.startswith("fc.") or name.endswith("num_batches_tracked")
