"""Random weights by seed, as files that both sides read: tiny networks of the real classes, or the real sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from benchmark.models.toy_tokenizer import LETTERS

Size = Literal["tiny", "full"]
DETECTOR = {"tiny": "toy", "full": "swin_t"}
SAM = {"tiny": "toy", "full": "vit_b"}
INPUT = {"tiny": (96, 200), "full": (800, 1333)}
"""Short side and longest long side of the detector's input, pixels, unless ``--input`` says others."""
BETWEEN = {"tiny": 256, "full": 1024}
"""Side of the square on which SAA+ compares several objects, pixels, unless ``--between`` says another; at its code's
1024 that takes 9 GB and many minutes an image."""
CLIP = {"tiny": "toy", "full": "vit_b_16"}
"""OpenAI's kind of CLIP."""
PLUS = {"tiny": "toy_plus", "full": "vit_b_16_plus_240"}
"""LAION's kind of CLIP, with the plain GELU."""
PLUS_SIDE = {"tiny": 96, "full": 240}
"""Square input of that CLIP, pixels."""
CLIPSEG_SIDE = {"tiny": 96, "full": 352}
"""Square input of CLIPSeg, pixels. Its code fixes the widths of its networks, so a tiny one there is none."""


def vocabulary(folder: Path, size: Size) -> Path:
    """Write BERT's special tokens and letters as a vocabulary, padded to the size of the tiny language model."""
    path = folder / "vocab.txt"
    padding = [f"[unused{i}]" for i in range(128 - len(LETTERS))] if size == "tiny" else []
    path.write_text("\n".join([*LETTERS, *padding]), encoding="utf-8")
    return path


def detector(folder: Path, size: Size, *, seed: int) -> Path:
    """Write a GroundingDINO whose boxes and scores vary."""
    import torch

    from benchmark.models.grounding_dino_build import load_grounding_dino

    network: Any = load_grounding_dino(DETECTOR[size], weights=None, vocabulary=None, device="cpu")  # type: ignore[arg-type]
    _stir(network, seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        last, spread = network.bbox_embed[0].layers[-1], 6.0 if size == "tiny" else 0.01
        last.weight.copy_(torch.randn(last.weight.shape, generator=draw) * spread)
        last.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0] if size == "tiny" else [0.0, 0.0, 0.25, 0.25]))
        network.transformer.decoder.norm.weight.mul_(0.04 if size == "tiny" else 0.02)
        network.transformer.decoder.norm.bias.mul_(0.04)
    path = folder / "detector.pth"
    torch.save({"model": network.state_dict()}, path)
    return path


def sam(folder: Path, size: Size, *, seed: int) -> Path:
    """Write a SAM whose masks depend on the prompt."""
    import torch

    from benchmark.models.sam_build import load_sam
    from tests.parity.toys import toy_sam

    network = toy_sam() if size == "tiny" else load_sam("vit_b", weights=None, device="cpu")
    _stir(network, seed + 1)
    path = folder / "sam.pth"
    torch.save(network.state_dict(), path)
    return path


def saliency(folder: Path, *, seed: int) -> Path:
    """Write a WideResNet50-2."""
    import torch

    from tests.perf.saa_literal import saliency_network

    network = saliency_network()
    _stir(network, seed + 2)
    path = folder / "saliency.pth"
    torch.save(network.state_dict(), path)
    return path


def clip(folder: Path, name: str, *, seed: int) -> Path:
    """Write a CLIP of a named size."""
    from safetensors.torch import save_file

    from benchmark.models.clip_build import load_clip
    from tests.parity.compared_toys import toy_plus

    network = toy_plus() if name == "toy_plus" else load_clip(name, weights=None, device="cpu")  # type: ignore[arg-type]
    _stir(network, seed + 3)
    path = folder / "clip.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def clipseg(folder: Path, *, seed: int) -> Path:
    """Write a refined CLIPSeg, under the names of transformers, whose probabilities are not all alike."""
    import torch
    from safetensors.torch import save_file

    from benchmark.models.clipseg import load_clipseg

    network: Any = load_clipseg("rd64_refined", weights=None, device="cpu")
    _stir(network, seed + 4)
    last = network.decoder.transposed_convolution[-1]
    picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(seed))
    words = torch.tensor([[49406, 320, 49407]])
    with torch.no_grad():
        asked = {"input_ids": words, "attention_mask": torch.ones_like(words), "interpolate_pos_encoding": True}
        last.weight.mul_(2 / network(pixel_values=picture, **asked).logits.std())  # else rounding decides the map
    path = folder / "clipseg.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def _stir(network: Any, seed: int) -> None:
    """Change every weight a little, by the seed."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1 + 0.2 * torch.randn(value.shape, generator=draw))
