"""Toy weights that the golden values of ``compared.json`` were computed with, by the public implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.models.clip_build import load_clip
from benchmark.models.runtime import build

CATEGORY = "bottle"
PICTURES = (0, 2, 4)
"""Numbers of pictures of ``toys``."""
SHOTS = (3, 1)
"""Pictures that stand for normal images."""


def toy_plus() -> Any:
    """A toy CLIP whose texts differ enough to tell windows apart."""
    import torch

    network = load_clip("toy_plus", weights=None, device="cpu")
    with torch.no_grad():
        network.token_embedding.weight.mul_(30)
        for block in network.visual.transformer.resblocks:
            block.attn.in_proj_weight.mul_(3)
            block.mlp.c_proj.weight.mul_(2)
    return network


def wide_resnet() -> Any:
    """torchvision's WideResNet50-2 with random weights, without its classifier and last stage's use."""
    import torchvision

    return build(lambda: torchvision.models.wide_resnet50_2(weights=None), device="cpu")


def save(name: str, folder: Path) -> Path:
    """Write a toy's weights, ``clip`` or ``wide_resnet``, as a file that a config can name."""
    from safetensors.torch import save_file

    network = {"clip": toy_plus, "wide_resnet": wide_resnet}[name]()
    file = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, file)
    return file
