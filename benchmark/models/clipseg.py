"""CLIPSeg: a decoder on CLIP's activations that draws where a text applies, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.models.backbone.layers import IMAGENET_MEAN, IMAGENET_STD
from benchmark.models.clip import token_ids
from benchmark.models.long_texts import LongTexts
from benchmark.models.runtime import Device, build, load

if TYPE_CHECKING:
    import torch
    from transformers import CLIPSegForImageSegmentation

ClipSegName = Literal["rd64_refined", "rd64", "toy"]
Resize = Literal["pixels", "tensor"]
MOST_TOKENS = 77
"""That its text side reads, special ones included."""
HOW = (
    "no digest of CLIPSeg's weights is published, so they are not fetched here: get the weights file of "
    "CIDAS/clipseg-rd64-refined (or CIDAS/clipseg-rd64 with pipeline.model=rd64) and give pipeline.weights=FILE"
)
_TOY_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_TOY_VISION: dict[str, Any] = {**_TOY_TEXT, "num_hidden_layers": 4, "image_size": 64}


def load_clipseg(name: ClipSegName, *, weights: Path | None, device: str) -> CLIPSegForImageSegmentation:
    """Build a CLIPSeg network and load its weights.

    Args:
        weights: state dict with transformers' names (CIDAS/clipseg-rd64-refined); None: seeded random weights.

    Returns:
        transformers' network in evaluation mode, float32.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    return load(
        build(lambda: _make(name), device=device, weights=weights),
        weights,
        optional=lambda key: key.endswith("position_ids"),
    )


def _make(name: ClipSegName) -> CLIPSegForImageSegmentation:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    if name == "toy":
        config = CLIPSegConfig(
            text_config=_TOY_TEXT,
            vision_config={**_TOY_VISION, "patch_size": 16},
            projection_dim=32,
            extract_layers=[0, 1, 2],
            reduce_dim=16,
            decoder_intermediate_size=32,
            use_complex_transposed_convolution=True,
        )
    else:
        refined = name == "rd64_refined"
        config = CLIPSegConfig(vision_config={"patch_size": 16}, use_complex_transposed_convolution=refined)
    return CLIPSegForImageSegmentation(config)


def prepare(image: NDArray[np.uint8], *, side: int, resize: Resize) -> torch.Tensor:
    """Squash an image, (H, W, 3) uint8 RGB, and normalise it with ImageNet's statistics: (3, side, side) float32.

    Args:
        resize: ``pixels``: 8-bit, bilinear with antialias, before the normalisation, as transformers does;
            ``tensor``: after it, bilinear without antialias (timojl/clipseg:Quickstart.ipynb with the torchvision of
            its time).
    """
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    if resize == "pixels":
        image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    pixels: torch.Tensor = F.normalize(
        F.to_tensor(np.ascontiguousarray(image)), list(IMAGENET_MEAN), list(IMAGENET_STD)
    )
    if resize == "tensor":
        pixels = F.resize(pixels, [side, side], InterpolationMode.BILINEAR, antialias=False)
    return pixels


def logits(
    network: CLIPSegForImageSegmentation,
    pixels: torch.Tensor,
    texts: Sequence[str],
    *,
    device: Device,
    long_texts: LongTexts = "refuse",
) -> NDArray[np.float32]:
    """Return how much each text applies to each place, (N, side, side) float32 logits.

    Args:
        pixels: from ``prepare``.
        texts: as they stand, without a template.

    Raises:
        ConfigError: a text is longer than the network reads, and is refused.
    """
    import torch

    ids = token_ids(texts, most=network.config.text_config.max_position_embeddings, long_texts=long_texts)
    # The text ends at its end token, the largest number; nothing behind that is read.
    mask = torch.arange(ids.shape[1])[None] <= ids.argmax(dim=1, keepdim=True)
    with device.inference():
        batch = device.send(pixels)[None].expand(len(texts), -1, -1, -1)
        found = network(
            input_ids=ids.to(device.name), pixel_values=batch, attention_mask=mask.long().to(device.name)
        ).logits
    return np.asarray(found.float().cpu().numpy(), dtype=np.float32).reshape(len(texts), *pixels.shape[1:])
