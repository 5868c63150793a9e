from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.models.runtime import build, fill
from benchmark.models.sam_build import load_sam
from benchmark.models.tiny_vit import from_mobile_sam, tiny_vit_encoder
from tests.tiny_models import one_thread  # noqa: F401


def mobile_sam_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of an encoder's weights as MobileSAM's file has them, written from its published module tree."""
    renamed = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "body":
            parts = parts[1:]
            if parts[0] == "patch_embed":
                parts[1:2] = ["seq", "0" if parts[1] == "conv1" else "2"]
            else:
                parts[0] = "layers"
                if parts[2] == "downsample":
                    parts[1] = str(int(parts[1]) - 1)
            if parts[-2] == "conv":
                parts[-2] = "c"
        renamed[".".join(["image_encoder", *parts])] = tensor
    return renamed


def test_every_weight_of_mobile_sam_finds_its_place() -> None:
    encoder = build(lambda: tiny_vit_encoder(img_size=64), device="cpu")
    state = {n: t + 0.25 if t.is_floating_point() else t for n, t in encoder.state_dict().items()}
    published = mobile_sam_names(state) | {"image_encoder.head.weight": torch.ones(1), "mask_decoder.x": torch.ones(1)}
    assert "image_encoder.patch_embed.seq.0.c.weight" in published
    assert "image_encoder.layers.1.blocks.0.attn.attention_biases" in published
    assert "image_encoder.layers.0.downsample.conv2.bn.running_var" in published
    renamed = from_mobile_sam(published)
    assert renamed.pop("mask_decoder.x") is published["mask_decoder.x"]
    plain = {n.removeprefix("image_encoder."): t for n, t in renamed.items()}
    fill(encoder, plain, path=Path("mobile_sam.pt"))
    assert all(torch.equal(encoder.state_dict()[n], state[n]) for n in state)


@pytest.mark.parametrize("side", [64, 128])
def test_the_encoder_shrinks_by_sixteen(side: int) -> None:
    encoder = build(lambda: tiny_vit_encoder(img_size=side), device="cpu")
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, side, side)).shape == (1, 256, side // 16, side // 16)
    assert sum(p.numel() for p in encoder.parameters()) == 5_743_892


def test_mobile_sam_is_sam_with_another_encoder() -> None:
    network = load_sam("vit_t", weights=None, device="cpu")
    assert network.image_encoder.img_size == 1024
    assert 9.5e6 < sum(p.numel() for p in network.parameters()) < 10.5e6
