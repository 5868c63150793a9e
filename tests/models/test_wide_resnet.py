"""The saliency network: what its maps are, and that timm's whole checkpoints fit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from benchmark.models.wide_resnet import feature_maps, load_wide_resnet

from benchmark.errors import WeightsError
from benchmark.models.runtime import Device
from tests.tiny_models import one_thread  # noqa: F401

CPU = Device(name="cpu")


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)


def test_a_whole_checkpoint_gives_the_maps_of_the_whole_network(tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = timm.create_model("test_resnet", pretrained=False).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    network = load_wide_resnet("toy", weights=tmp_path / "whole.pth", device="cpu")
    maps = feature_maps(network, image(), side=64, device=CPU)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 16), (8, 8), (4, 4)]
    assert all(bool((m >= 0).all()) for m in maps)

    square = cv2.resize(image(), (64, 64)).astype(np.float32)
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    pixels = torch.from_numpy(((square - mean) / deviation).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        _, expected = whole.forward_intermediates(pixels, indices=(1, 2, 3))
    for found, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, wanted[0], atol=1e-4, rtol=1e-4)


def test_random_weights_are_the_same_every_time() -> None:
    first, second = (
        feature_maps(load_wide_resnet("toy", weights=None, device="cpu"), image(), side=64, device=CPU)
        for _ in range(2)
    )
    assert all(bool((a == b).all()) for a, b in zip(first, second, strict=True))


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        load_wide_resnet("toy", weights=tmp_path / "other.pth", device="cpu")


def test_the_published_network_has_the_papers_channels() -> None:
    network = load_wide_resnet("wide_resnet50_2", weights=None, device="cpu")
    maps = feature_maps(network, image(), side=32, device=CPU)
    assert [tuple(m.shape) for m in maps] == [(256, 8, 8), (512, 4, 4), (1024, 2, 2)]
