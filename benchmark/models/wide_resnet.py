"""WideResNet50-2 feature maps of several depths, as the saliency of SAA+ uses them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.models import runtime
from benchmark.models.resnet import MEAN, STD
from benchmark.models.runtime import Device

if TYPE_CHECKING:
    import torch
    from torch import nn

SaliencyName = Literal["wide_resnet50_2", "toy"]
PUBLISHED: dict[str, str] = {"wide_resnet50_2": "wide_resnet50_2_racm"}
"""Registry name of each network's published weights; the toy has none."""
_TIMM = {"wide_resnet50_2": "wide_resnet50_2", "toy": "test_resnet"}


def load_wide_resnet(name: SaliencyName, *, weights: Path | None, device: str) -> nn.Module:
    """Build the network up to its third stage and load its weights.

    Args:
        weights: file of the weights, timm's ``racm_in1k`` ones for the published results (not torchvision's);
            None: seeded random ones.

    Returns:
        timm's feature network (huggingface/pytorch-image-models:timm/models/resnet.py) with the maps of strides
        4, 8 and 16: 256, 512 and 1024 channels; the toy has 32, 48 and 48.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """

    def make() -> nn.Module:
        import timm

        network: nn.Module = timm.create_model(_TIMM[name], pretrained=False, features_only=True, out_indices=(1, 2, 3))
        return network

    return runtime.load(runtime.build(make, device=device), weights, optional=_not_needed)


def _not_needed(name: str) -> bool:
    """Whether a tensor is of the last stage, the classifier or a batch counter."""
    return name.startswith(("layer4.", "fc.")) or name.endswith("num_batches_tracked")


def feature_maps(
    network: nn.Module, image: NDArray[np.uint8], *, side: int, device: Device
) -> tuple[torch.Tensor, ...]:
    """Return the feature maps of an image that is first squeezed to a square.

    Args:
        network: from ``load_wide_resnet``.
        image: (H, W, 3) uint8; the channels are taken as red, green, blue whatever they are.
        side: of the square in pixels, bilinear without antialiasing; a multiple of 16.

    Returns:
        Three float32 maps, (C, side / 4, side / 4), half and a quarter of it; values >= 0.
    """
    import cv2
    import torch

    square = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    mean = torch.tensor(MEAN).mul(255).view(3, 1, 1)
    deviation = torch.tensor(STD).mul(255).view(3, 1, 1)
    pixels = (torch.from_numpy(square).permute(2, 0, 1) - mean) / deviation
    with device.inference():
        maps = network(pixels[None].to(device.name))
    return tuple(level[0].float() for level in maps)
