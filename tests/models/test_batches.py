"""Images that go through a network together give what they give alone, by rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.models.clip import Clip, squash
from benchmark.models.clip_windows import window_vectors
from benchmark.models.grounding_dino import GroundingDino
from benchmark.models.runtime import Device, by_shape
from benchmark.models.sam import SegmentAnything
from tests.parity.toys import picture, toy_clip, toy_detector, toy_sam

CPU = Device(name="cpu")
PICTURES = [picture(0), picture(1), np.ascontiguousarray(picture(0)[::-1])]
"""The first and the last have one size."""
ROUNDING = 2e-5
"""Of the largest value."""


def near(together: NDArray[np.floating], alone: NDArray[np.floating]) -> None:
    np.testing.assert_allclose(together, alone, rtol=0, atol=ROUNDING * float(np.abs(alone).max()))


def test_sam() -> None:
    sam = SegmentAnything(toy_sam(), device=CPU)
    for number, together in enumerate(sam.embed(PICTURES)):
        near(together, sam.embed([PICTURES[number]])[0])


def test_grounding_dino_with_images_of_one_size_together() -> None:
    network = GroundingDino(toy_detector(), device=CPU, short_side=96, long_side=200, captions_per_batch=2)
    captions = ["defect.", "a black hole.", "b."]  # two at once, and then one
    shapes: list[tuple[int, ...]] = []
    encode = network._encode

    def counted(scaled: Any) -> Any:
        shapes.append((len(scaled), *scaled[0].shape[1:]))
        return encode(scaled)

    network._encode = counted  # type: ignore[method-assign]
    found = network.raw_all(PICTURES, captions)
    assert sorted(number for number, *_ in shapes) == [1, 2]
    for image, together in zip(PICTURES, found, strict=True):
        for one, other in zip(together, network.raw(image, captions), strict=True):
            finite = np.isfinite(other)
            np.testing.assert_array_equal(np.isfinite(one), finite)
            near(one[finite], other[finite])
    assert not np.allclose(found[0][1], found[2][1], atol=1e-3)  # images of one batch are told apart


def test_clip_windows() -> None:
    clip = Clip(toy_clip(), device=CPU)
    prepared = [squash(image, 112) for image in PICTURES[:2]]
    together = window_vectors(clip, prepared, sizes=(2,), patches="raw")
    for number, image in enumerate(prepared):
        alone = window_vectors(clip, [image], sizes=(2,), patches="raw")
        near(together.image[number], alone.image[0])
        assert together.patches is not None and alone.patches is not None
        near(together.patches[number], alone.patches[0])
        for many, one in zip(together.windows, alone.windows, strict=True):
            near(many[number], one[0])


def test_shapes_are_grouped_in_their_order() -> None:
    assert by_shape([(2, 3), (4, 4), (2, 3)]) == [[0, 2], [1]] and by_shape([]) == []


def test_copies_to_cuda_come_from_pinned_memory_and_are_not_waited_for() -> None:
    asked: list[Any] = []

    class Fake(torch.Tensor):
        def pin_memory(self, *_: Any) -> Any:
            asked.append("pinned")
            return self

        def to(self, *arguments: Any, **options: Any) -> Any:
            asked.append((arguments, options))
            return self

    tensor = torch.zeros(2)
    assert CPU.send(tensor) is tensor
    Device(name="cuda:1").send(tensor.as_subclass(Fake))
    assert asked == ["pinned", (("cuda:1",), {"non_blocking": True})]
