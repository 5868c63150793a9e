"""A small CLIPSeg of the widths that the authors' code fixes, with weights by name: the same under every release."""

from __future__ import annotations

from typing import Any

TEXTS = ("crack", "White broken, part; 2nd (side)")
SIDE = 96
LAYERS = (1, 2, 3)
"""Blocks of CLIP whose activations are decoded; the authors' models take 3, 6, 9."""


def small() -> Any:
    """Return transformers' network: CLIP of 4 blocks of width 768, 1 of width 512 for texts, the refined decoder."""
    import torch
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    config = CLIPSegConfig(
        text_config={"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 1, "num_attention_heads": 8},
        vision_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 4,
            "num_attention_heads": 12,
            "patch_size": 16,
        },
        extract_layers=list(LAYERS),
        use_complex_transposed_convolution=True,
    )
    with torch.device("meta"):
        network = CLIPSegForImageSegmentation(config)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for name, value in network.named_parameters():
            _fill(name, value)
        for name, value in network.named_buffers():
            if name.endswith("position_ids"):
                value.copy_(torch.arange(value.shape[-1]).expand(value.shape))
    return network.eval()


def _fill(name: str, value: Any) -> None:
    """Fill a parameter at random, by its name."""
    import torch

    draw = torch.Generator().manual_seed(int.from_bytes(name.encode(), "little") % 2**31)
    noise = torch.randn(value.shape, generator=draw)
    if "norm" in name and name.endswith("weight"):
        value.copy_(1 + 0.2 * noise)
    elif value.ndim > 1 and "embeddings" not in name:
        value.copy_(noise * (2.0 / value[0].numel()) ** 0.5)
    else:
        value.copy_(0.3 * noise)
