"""WinCLIP's window encoder: small windows of patches go through the whole image transformer, all of a size at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.models.clip import Clip, attend, embed, heads

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
    clip: Clip, images: Sequence[torch.Tensor], *, sizes: Sequence[int], patches: Patches
) -> WindowVectors:
    """Encode prepared images, (3, s, s) each, and all their windows.

    A window starts from the patch embeddings with their positions, with the class token before them, and goes through
    every block (zqhang/Accurate-WinCLIP-pytorch:src/open_clip/transformer.py, VisionTransformer.forward).

    Args:
        sizes: sides of the windows in patches.
        patches: which patch tokens of the whole image to return.
    """
    import torch

    visual = clip.network.visual
    with clip.device.inference():
        start = embed(visual, torch.stack(list(images)).to(clip.device.name))
        whole = _blocks(visual, start)
        side = round((start.shape[1] - 1) ** 0.5)
        windows = tuple(_array(encode_windows(visual, start, window_places(side, size))) for size in sizes)
        kept = None if patches == "none" else _array((visual.ln_post(whole) if patches == "normed" else whole)[:, 1:])
        return WindowVectors(_array(_class_vector(visual, whole)), windows, kept)


def encode_windows(visual: Any, start: torch.Tensor, places: NDArray[np.int64]) -> torch.Tensor:
    """Encode windows in one pass: (B, W, E).

    Args:
        visual: image side of a CLIP.
        start: (B, 1 + N, C) from ``embed``.
        places: (W, n) patches of each window.
    """
    import torch

    with_class = np.concatenate([np.zeros((len(places), 1), dtype=np.int64), places + 1], axis=1)
    chosen = start[:, torch.from_numpy(with_class).to(start.device)]
    batch, number = chosen.shape[:2]
    found: torch.Tensor = _class_vector(visual, _blocks(visual, chosen.flatten(0, 1))).view(batch, number, -1)
    return found


def _blocks(visual: Any, start: torch.Tensor) -> torch.Tensor:
    """Run the transformer, norms before it included and after it not."""
    stream: torch.Tensor = visual.ln_pre(start)
    for block in visual.transformer.resblocks:
        stream = stream + attend(block, *heads(block, block.ln_1(stream)))
        stream = stream + block.mlp(block.ln_2(stream))
    return stream


def _class_vector(visual: Any, stream: torch.Tensor) -> torch.Tensor:
    vector: torch.Tensor = visual.ln_post(stream[:, 0]) @ visual.proj
    return vector


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
