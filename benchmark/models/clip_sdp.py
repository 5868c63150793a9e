"""SDP's image side and arithmetic: four stages of value-value attention (CLIP-AD, arXiv 2311.00453)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.text import counted
from benchmark.models.clip import Clip, attend, embed, heads

if TYPE_CHECKING:
    import torch

STAGES = 4
Floats = NDArray[np.float64]


def stage_tokens(clip: Clip, images: Sequence[torch.Tensor], *, aliased_class: bool) -> NDArray[np.float32]:
    """Embed prepared images, (3, s, s) each, to the tokens of every stage: (B, 4, 1 + g * g, E), not normalised.

    A stage's patch tokens are the sum of the value-value attention of its blocks, without the image they started from;
    its class token is that of plain CLIP after the stage (ByChelsea/CLIP-AD:open_clip/transformer.py).

    Args:
        aliased_class: the class token of all stages but the last has also gone through the attention, not the rest, of
            the next block: the released code adds that attention in place, to the tensor it has kept.

    Raises:
        ConfigError: the network's blocks cannot be cut into four equal stages.
    """
    import torch

    visual = clip.network.visual
    blocks = visual.transformer.resblocks
    length = len(blocks) // STAGES
    if length * STAGES != len(blocks):
        raise ConfigError(f"SDP needs a network whose blocks make {STAGES} equal stages, not {len(blocks)} blocks")
    found: list[torch.Tensor] = []
    with clip.device.inference():
        stream = visual.ln_pre(embed(visual, clip.device.send(torch.stack(list(images)))))
        second = torch.zeros_like(stream)
        for number, block in enumerate(blocks):
            query, key, value = heads(block, block.ln_1(stream))
            values = attend(block, value, value, value)
            second = values if number % length == 0 else second + values
            attended = stream + attend(block, query, key, value)
            if aliased_class and number and number % length == 0:
                found[-1] = _with_class(found[-1], attended)
            stream = attended + block.mlp(block.ln_2(attended))
            if (number + 1) % length == 0:
                found.append(_with_class(second, stream))
        tokens = torch.stack([_projected(visual, one) for one in found], dim=1)
        return np.asarray(tokens.float().cpu().numpy(), dtype=np.float32)


def _with_class(tokens: torch.Tensor, stream: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([stream[:, :1], tokens[:, 1:].to(stream.dtype)], dim=1)


def _projected(visual: Any, tokens: torch.Tensor) -> torch.Tensor:
    projected: torch.Tensor = visual.ln_post(tokens) @ visual.proj
    return projected


def abnormal_map(tokens: NDArray[np.float32], texts: Floats) -> Floats:
    """Similarity of the patches to the abnormal text, what both texts share taken away: (g * g,).

    Per stage G = w * (V T'), w = p / mean(p), p = softmax(V_cls T'), minus its mean over the two texts; summed over
    stages (ByChelsea/CLIP-AD:util/surgery.py). With two texts that is half of w1 S1 - w0 S0.

    Args:
        tokens: (4, 1 + g * g, E), the class token first.
        texts: (2, E) unit vectors, normal and abnormal.
    """
    total = np.zeros(tokens.shape[1] - 1)
    for stage in tokens:
        wide = stage.astype(np.float64)
        similarity = (wide / np.linalg.norm(wide, axis=1, keepdims=True)) @ texts.T
        powers = np.exp(similarity[0] - similarity[0].max())
        weighted = similarity * (powers / powers.mean())
        total += (weighted - weighted.mean(axis=1, keepdims=True))[1:, 1]
    return total


def abnormal_image(tokens: NDArray[np.float32], texts: Floats) -> float:
    """Probability of the abnormal text for the whole image: softmax of 100 cos, of the last stage's class token."""
    whole = tokens[-1, 0].astype(np.float64)
    cosine = texts @ (whole / np.linalg.norm(whole))
    return float(1.0 / (1.0 + np.exp(100.0 * (cosine[0] - cosine[1]))))


def cluster_mean(vectors: NDArray[np.float32], *, distance: float, size: int) -> Floats:
    """Mean of the largest DBSCAN cluster of unit vectors, (N, E) -> (E,).

    Args:
        distance: ``eps``.
        size: ``min_samples``.

    Raises:
        BenchmarkError: no vectors lie close enough together.
    """
    from sklearn.cluster import DBSCAN

    labels = DBSCAN(eps=distance, min_samples=size).fit(vectors).labels_
    if labels.max() < 0:
        raise BenchmarkError(
            f"{counted(len(vectors), 'prompt forms', 'prompts form')} no cluster of {size} within a "
            f"distance of {distance}; "
            "raise pipeline.cluster_distance, lower pipeline.cluster_size, or set pipeline.text=mean"
        )
    largest = int(np.bincount(labels[labels >= 0]).argmax())
    return np.asarray(vectors[labels == largest].mean(axis=0), dtype=np.float64)
