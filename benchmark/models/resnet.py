"""ResNet image features: the network without its classifier, over images of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.models import runtime

if TYPE_CHECKING:
    import torch

Backbone = Literal["resnet18", "resnet50", "wide_resnet50_2"]
WIDTH: Mapping[Backbone, int] = {"resnet18": 512, "resnet50": 2048, "wide_resnet50_2": 2048}
"""Number of pooled features."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet statistics per RGB channel of values in [0, 1], as torchvision's weights expect."""


def build(backbone: Backbone, *, weights: Path | None, device: str) -> torch.nn.Module:
    """Build a torchvision ResNet whose output is its penultimate, globally pooled features.

    Args:
        backbone: network (He et al., arXiv:1512.03385; pytorch/vision:torchvision/models/resnet.py).
        weights: state dict, loaded whole but for the classifier; None: random initial values, the same
            ones every time (the global random state is left as it was).
        device: torch device name.

    Raises:
        WeightsError: the file holds more than tensors, or not the tensors of this network.
    """

    def make() -> torch.nn.Module:
        import torch
        import torchvision

        network: torch.nn.Module = getattr(torchvision.models, backbone)(weights=None)
        network.fc = torch.nn.Identity()
        return network

    return runtime.load(runtime.build(make, device=device), weights, optional=_not_needed)


def _not_needed(name: str) -> bool:
    """Whether a tensor is of the classifier, or a batch counter (files older than PyTorch 0.4.1 lack them)."""
    return name.startswith("fc.") or name.endswith("num_batches_tracked")


def extract(
    network: torch.nn.Module, images: Sequence[NDArray[np.uint8]], *, input_size: int, device: str
) -> NDArray[np.float32]:
    """Return the pooled features of a batch of images, (N, D) float32.

    On a CUDA device the batch goes through at once. On CPU its images go through side by side, each on
    one thread: there the last bits of a batched convolution depend on the size of the batch, so a resumed
    or sharded run would differ from an undisturbed one; and threads that wait for each other at every
    layer are slow on a busy machine. TF32 and cuDNN's autotuner stay off.

    Args:
        network: from ``build``.
        images: (H, W, 3) uint8 RGB, of any and different sizes.
        input_size: side of the network's square input in pixels.
        device: where ``network`` is.
    """
    import torch

    def forward(chosen: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        # The mode belongs to the thread, so it is entered here and not around the threads.
        with torch.inference_mode():
            batch = torch.stack([prepare(image, input_size=input_size) for image in chosen])
            return np.asarray(network(batch.to(device)).float().cpu().numpy(), dtype=np.float32)

    if device.startswith("cuda"):
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return forward(images)
    width = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(width, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return np.concatenate(list(pool.map(forward, ([image] for image in images))))
    finally:
        torch.set_num_threads(width)


def prepare(image: NDArray[np.uint8], *, input_size: int) -> torch.Tensor:
    """Convert one image to the network's input, (3, S, S) float32, normalised by ``MEAN`` and ``STD``.

    The whole image is resized to a square (bilinear, with antialiasing where it shrinks), so the
    aspect ratio is not kept: a centre crop would lose defects at the rim, and padding would show the
    network the image's shape, which differs between the classes of some data sets.

    Args:
        image: (H, W, 3) uint8 RGB; grey images have three equal channels.
        input_size: S in pixels.
    """
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div_(255)
    resized = torch.nn.functional.interpolate(
        pixels[None], size=(input_size, input_size), mode="bilinear", antialias=True, align_corners=False
    )[0]
    mean = torch.tensor(MEAN).view(3, 1, 1)
    std = torch.tensor(STD).view(3, 1, 1)
    return (resized - mean) / std
