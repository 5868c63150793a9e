"""Toy weights and pictures that the golden values of this folder were computed with, by the official code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.models.clip_build import load_clip
from benchmark.models.grounding_dino_build import load_grounding_dino
from benchmark.models.sam_build import load_sam
from benchmark.models.toy_tokenizer import LETTERS

SIZES = ((60, 100), (100, 60), (96, 96), (75, 200), (222, 103), (130, 250))
"""(H, W) of the pictures; all but one are not square."""


def picture(number: int) -> NDArray[np.uint8]:
    """Picture ``number``, (H, W, 3) uint8: coarse random patches with fine noise."""
    draw = np.random.default_rng(number)
    height, width = SIZES[number]
    coarse = draw.integers(0, 200, (height // 12 + 1, width // 12 + 1, 3))
    patches = np.kron(coarse, np.ones((12, 12, 1), dtype=np.int64))[:height, :width]
    return (patches + draw.integers(0, 56, (height, width, 3))).astype(np.uint8)


def toy_sam() -> Any:
    """A toy SAM whose masks depend on the prompt, are sharp, and are called good by itself now and then."""
    import torch

    network = load_sam("toy", weights=None, device="cpu")
    decoder = network.mask_decoder
    with torch.no_grad():
        for name, value in decoder.transformer.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                value.mul_(10)
            elif name.endswith(("v_proj.weight", "out_proj.weight")):
                value.mul_(4)
        for head in decoder.output_hypernetworks_mlps:
            for layer in head.layers:
                layer.weight.mul_(2)
                layer.bias.zero_()
            head.layers[-1].weight.mul_(1000)
        for part in decoder.output_upscaling:
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()
        decoder.iou_prediction_head.layers[-1].bias.add_(1)
        for embedding in network.prompt_encoder.point_embeddings:
            embedding.weight.mul_(5)
    return network


def toy_detector() -> Any:
    """A toy GroundingDINO whose scores lie on both sides of 0.65, and whose boxes vary."""
    import torch

    network = load_grounding_dino("toy", weights=None, vocabulary=None, device="cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.bbox_embed[0].layers[-1].parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.05)
        network.transformer.decoder.norm.weight.mul_(0.04)
        network.transformer.decoder.norm.bias.mul_(0.04)
    return network


def toy_clip() -> Any:
    """A toy CLIP."""
    return load_clip("toy", weights=None, device="cpu")


def save_weights(folder: Path) -> dict[str, Path]:
    """Write the toys' weights as files that a config can name: ``sam``, ``detector``, ``vocabulary``, ``clip``."""
    import torch
    from safetensors.torch import save_file

    names = {"sam": "sam.pth", "detector": "detector.pth", "vocabulary": "vocab.txt", "clip": "clip.safetensors"}
    files = {role: folder / name for role, name in names.items()}
    files["vocabulary"].write_text("\n".join(LETTERS), encoding="utf-8")
    torch.save(toy_sam().state_dict(), files["sam"])
    torch.save({"model": toy_detector().state_dict()}, files["detector"])
    save_file({name: value.contiguous() for name, value in toy_clip().state_dict().items()}, files["clip"])
    return files
