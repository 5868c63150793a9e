"""What every option of the group ``clip`` is: settings of a network that puts images and texts into one space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights, WeightsRequest
from benchmark.models.long_texts import LongTexts, TextReader
from benchmark.models.runtime import Device, Precision
from benchmark.stages.context import Context

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Need = Literal["windows", "sigmoid"]
"""``windows``: parts of an image go through the image side beside a class token, as WinCLIP asks; ``sigmoid``: pairs
of image and text have a probability of their own."""


class Logits(NamedTuple):
    """How a network turns a cosine into a logit: ``scale * cosine + bias``."""

    scale: float = 100.0
    """OpenAI's CLIPs have 100, the largest that their training allowed."""
    bias: float | None = None
    """None where logits are only compared with each other, by a softmax."""


class Tower(Protocol):
    """The image side of a network with a class token, in steps."""

    patch: int
    """Side of a patch, pixels."""

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class and patch embeddings with their positions of (B, 3, s, s): (B, 1 + g * g, C)."""
        ...

    def encode(self, start: torch.Tensor) -> torch.Tensor:
        """Every block, with the norm before them and without the one behind: (B, n, C) to the same."""
        ...

    def normed(self, stream: torch.Tensor) -> torch.Tensor:
        """The norm behind the blocks."""
        ...

    def class_vector(self, stream: torch.Tensor) -> torch.Tensor:
        """The vector that texts are compared with, of the class token behind the blocks: (B, E)."""
        ...


class TextImageNetwork(Protocol):
    """A loaded network."""

    device: Device
    """Where it lies, and the precision of its image side; texts are float32."""
    width: int
    """Length E of its vectors."""
    logits: Logits

    @property
    def reader(self) -> TextReader:
        """How much of a text it reads."""
        ...

    @property
    def tower(self) -> Tower:
        """Its image side in steps, where ``TextImage.lacks`` has nothing against windows."""
        ...

    def vectors(self, images: Sequence[torch.Tensor]) -> Floats:
        """Embed prepared images, (3, s, s) each: (B, E), not normalised."""
        ...

    def text(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed a text given as several prompts: their unit vectors' mean, made a unit vector; (E,)."""
        ...

    def text_vectors(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed prompts one by one: (N, E), not normalised; raises ConfigError for one that is refused as too long."""
        ...


class TextImage(Settings, ABC):
    """The base of every option of the group ``clip``."""

    precision: Precision
    """Of the image side."""
    batch_size: int = Field(ge=1)
    """Images or cut-outs that are embedded together."""
    long_texts: LongTexts
    """What becomes of a text that is longer than the network reads."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Side of the square that images are resized to, pixels."""

    @abstractmethod
    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for, by the role ``clip``."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of images, as JSON values for a stage."""

    @abstractmethod
    def text_facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of texts, as JSON values for a stage."""

    @abstractmethod
    def lacks(self, need: Need) -> str | None:
        """Return in a phrase why the network does not have what a method needs; None: it has.

        Raises:
            ConfigError: there is no such network.
            WeightsError: its description is not on this machine.
        """

    @abstractmethod
    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> TextImageNetwork:
        """Return the network, loaded once in this process."""

    @abstractmethod
    def prepare(
        self, network: TextImageNetwork, image: NDArray[np.uint8], *, on: Literal["pixels", "tensor"] = "pixels"
    ) -> torch.Tensor:
        """Resize an image, (H, W, 3) RGB, whole to the network's square and normalise it: (3, side, side) float32.

        Args:
            on: resize 8-bit pixels, whose values are rounded then, or floats.
        """

    def embed(self, network: TextImageNetwork, images: Sequence[NDArray[np.uint8]]) -> Floats:
        """Embed images, (H, W, 3) RGB each of its own size: (B, E), not normalised."""
        return network.vectors([self.prepare(network, image) for image in images])


def mean_direction(vectors: Floats) -> Floats:
    """Return the unit vector, (E,), of the mean of vectors, (N, E), that are made unit vectors first."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    mean = unit.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)
