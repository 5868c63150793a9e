"""What a zero-shot detector of transformers is asked and answers, whatever its family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
START, END = "[CLS]", "[SEP]"
"""What stands around the phrases of a caption, as special tokens do around its words; their probability is 0."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a network says of one image and one caption."""

    probabilities: Floats
    """(Q, T) of each query and piece of the caption; 0 behind the last piece."""
    boxes: Floats
    """(Q, 4) centre x, centre y, width, height as fractions of the image."""


class Family(Protocol):
    """A loaded network with its processor."""

    by_phrase: bool
    """Pieces are whole phrases, with ``START`` and ``END`` around them, and not words."""

    def pieces(self, caption: str) -> list[str]:
        """Return the pieces of a normalised caption that the network scores."""
        ...

    def ask(
        self, images: Sequence[NDArray[np.uint8]], captions: Sequence[str], contrasts: Sequence[str]
    ) -> list[list[Answer]]:
        """Return the answers by image, (H, W, 3) RGB, and caption; a contrast is one more piece, the last one."""
        ...


def phrases(caption: str) -> list[str]:
    """Return the phrases of a normalised caption, which full stops and commas part; the text itself where it has none.

    >>> phrases("black hole. scratch, dent.")
    ['black hole', 'scratch', 'dent']
    """
    found = [text for part in re.split(r"[.,]", caption) if (text := part.strip())]
    return found or [caption.strip()]


def prepared(processor: Any, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Scale and normalise images as the model was trained with: (B, 3, h, w) float32."""
    pixels: torch.Tensor = processor(
        images=[np.ascontiguousarray(image) for image in images], input_data_format="channels_last", return_tensors="pt"
    )["pixel_values"]
    return pixels


def as_array(values: torch.Tensor) -> Floats:
    """Return a tensor as float32."""
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
