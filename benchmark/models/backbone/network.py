"""A loaded feature network: features of images that do not depend on which images go beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.models.runtime import Device, by_shape, one_thread_each

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Resize = Literal["antialias", "bilinear", "opencv"]
Channels = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Features:
    """What a network says of one image."""

    maps: tuple[torch.Tensor, ...]
    """One map a layer, (C, h, w) float32, on the network's device; of a transformer its patch tokens, in place."""
    classes: tuple[torch.Tensor | None, ...]
    """The class token behind each layer, (C,) float32; None where the network has none."""


class Body(Protocol):
    """What the adapter of a library gives: the network itself, for inputs that are ready."""

    def maps(self, pixels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return a map, (B, C, h, w), and a class token, (B, C) or None, for each layer that was asked for."""
        ...

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the features that the network's own head works from, (B, D)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureNetwork:
    """A network with its weights, on a device; made by ``Backbone.load``.

    On a CUDA device a batch goes through at once. On CPU its images go through side by side, each on one thread:
    there the last bits of a batched convolution depend on the size of the batch, so a resumed or sharded run would
    differ from an undisturbed one; and threads that wait for each other at every layer are slow on a busy machine.
    """

    body: Body
    device: Device
    side: int | None
    """Side of the square that images are resized to, pixels; None: they keep their size."""
    resize: Resize
    mean: Channels
    std: Channels
    """Per RGB channel, of values in [0, 1]."""

    def features(self, images: Sequence[NDArray[np.uint8]], *, side: int | None = None) -> list[Features]:
        """Return the maps and class tokens of images, (H, W, 3) uint8 RGB each; ``side`` in place of its own."""
        return self.each(images, lambda _, found: found, side=side)

    def each(
        self, images: Sequence[NDArray[np.uint8]], work: Callable[[int, Features], T], *, side: int | None = None
    ) -> list[T]:
        """Return what ``work`` makes of the features of each image, in order.

        Args:
            images: (H, W, 3) uint8 RGB each, of any and different sizes.
            work: gets an image's number and features. On CPU it runs on the image's own thread, beside the others.
            side: of the square, in place of the network's own.
        """
        import torch

        def run(numbers: Sequence[int]) -> list[T]:
            with self.device.inference():
                layers = self.body.maps(self._input([images[number] for number in numbers], side))
            with torch.inference_mode():  # what is made of the features is made in full precision
                return [work(number, _features(layers, place)) for place, number in enumerate(numbers)]

        return self._spread(_input_shapes(images, side or self.side), run)

    def pooled(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the features that the network's own head works from, (N, D) float32; load with ``pooled=True``."""

        def run(numbers: Sequence[int]) -> list[NDArray[np.float32]]:
            with self.device.inference():
                found = self.body.pooled(self._input([images[number] for number in numbers], None))
            return [np.asarray(row, dtype=np.float32) for row in found.float().cpu().numpy()]

        rows: list[NDArray[np.float32]] = self._spread(_input_shapes(images, self.side), run)
        return np.stack(rows)

    def prepare(self, image: NDArray[np.uint8], *, side: int | None = None) -> torch.Tensor:
        """Convert one image, (H, W, 3) uint8 RGB, to the network's input, (3, S, S) float32 on the CPU.

        The whole image is resized to a square, so the aspect ratio is not kept: a centre crop would lose defects at
        the rim, and padding would show the network the image's shape, which differs between the classes of some
        data sets.
        """
        import torch

        wanted = side or self.side
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        if self.resize == "opencv":  # on values of 0 … 255, as the code does that resizes this way
            pixels = torch.from_numpy(_squeezed(image, wanted)).permute(2, 0, 1)
            return (pixels - mean.mul(255)) / std.mul(255)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div_(255)
        if wanted is not None:
            pixels = torch.nn.functional.interpolate(
                pixels[None],
                size=(wanted, wanted),
                mode="bilinear",
                antialias=self.resize == "antialias",
                align_corners=False,
            )[0]
        return (pixels - mean) / std

    def _input(self, batch: Sequence[NDArray[np.uint8]], side: int | None) -> torch.Tensor:
        import torch

        return self.device.send(torch.stack([self.prepare(image, side=side) for image in batch]))

    def _spread(self, shapes: Sequence[tuple[int, ...]], run: Callable[[Sequence[int]], list[T]]) -> list[T]:
        """Run images by number: those that become one size at once on CUDA, all side by side on a CPU."""
        if self.device.name.startswith("cuda"):
            batches = by_shape(shapes)
            found = {number: one for batch in batches for number, one in zip(batch, run(batch), strict=True)}
            return [found[number] for number in range(len(shapes))]
        alone = [[number] for number in range(len(shapes))]
        with one_thread_each() as pool:
            return [found for batch in pool.map(run, alone) for found in batch]


def _input_shapes(images: Sequence[NDArray[np.uint8]], side: int | None) -> list[tuple[int, ...]]:
    return [image.shape[:2] if side is None else (side, side) for image in images]


def _features(layers: list[tuple[torch.Tensor, torch.Tensor | None]], number: int) -> Features:
    return Features(
        maps=tuple(level[number].float() for level, _ in layers),
        classes=tuple(None if token is None else token[number].float() for _, token in layers),
    )


def _squeezed(image: NDArray[np.uint8], side: int | None) -> NDArray[np.uint8]:
    import cv2

    if side is None:
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_LINEAR))
