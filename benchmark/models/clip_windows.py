"""WinCLIP's window encoder: small windows of patches go through the whole image transformer, all of a size at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.models.text_image import TextImageNetwork, Tower

if TYPE_CHECKING:
    import torch

Patches = Literal["none", "raw", "normed"]
"""Which patch tokens of the whole image are kept: none, as the last block leaves them, or after the last norm."""


class WindowVectors(NamedTuple):
    """What WinCLIP reads of a batch of images, float32, not normalised."""

    image: NDArray[np.float32]
    """(B, E) vector of the whole image."""
    windows: tuple[NDArray[np.float32], ...]
    """Per window size (B, W, E), windows row by row."""
    patches: NDArray[np.float32] | None
    """(B, g * g, C) patch tokens, not projected."""


def window_places(side: int, size: int) -> NDArray[np.int64]:
    """Return the patches of every window of ``size`` x ``size`` on a square grid, stride 1: (W, size * size)."""
    grid = np.arange(side * side).reshape(side, side)
    return np.lib.stride_tricks.sliding_window_view(grid, (size, size)).reshape(-1, size * size).astype(np.int64)


def window_vectors(
    network: TextImageNetwork, images: Sequence[torch.Tensor], *, sizes: Sequence[int], patches: Patches
) -> WindowVectors:
    """Encode prepared images, (3, s, s) each, and all their windows.

    A window starts from the patch embeddings with their positions, with the class token before them, and goes through
    every block (zqhang/Accurate-WinCLIP-pytorch:src/open_clip/transformer.py, VisionTransformer.forward).

    Args:
        network: one that has windows (``TextImage.lacks``).
        sizes: sides of the windows in patches.
        patches: which patch tokens of the whole image to return.
    """
    import torch

    tower = network.tower
    with network.device.inference():
        start = tower.embed(network.device.send(torch.stack(list(images))))
        whole = tower.encode(start)
        side = round((start.shape[1] - 1) ** 0.5)
        windows = tuple(_array(encode_windows(tower, start, window_places(side, size))) for size in sizes)
        kept = None if patches == "none" else _array((tower.normed(whole) if patches == "normed" else whole)[:, 1:])
        return WindowVectors(_array(tower.class_vector(whole)), windows, kept)


def encode_windows(tower: Tower, start: torch.Tensor, places: NDArray[np.int64]) -> torch.Tensor:
    """Encode windows in one pass: (B, W, E).

    Args:
        tower: image side of the network.
        start: (B, 1 + N, C) from its ``embed``.
        places: (W, n) patches of each window.
    """
    import torch

    with_class = np.concatenate([np.zeros((len(places), 1), dtype=np.int64), places + 1], axis=1)
    chosen = start[:, torch.from_numpy(with_class).to(start.device)]
    batch, number = chosen.shape[:2]
    found: torch.Tensor = tower.class_vector(tower.encode(chosen.flatten(0, 1))).view(batch, number, -1)
    return found


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
