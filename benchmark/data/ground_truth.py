"""Ground truths on demand; a sweep reads each file once and keeps a bit a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.memory import Memory
from benchmark.core.samples import GroundTruth, Sample


@dataclass(frozen=True)
class _Packed:
    """A ground truth, eight pixels a byte."""

    shape: tuple[int, int]
    mask: NDArray[np.uint8]
    ignore: NDArray[np.uint8] | None

    @classmethod
    def of(cls, truth: GroundTruth) -> Self:
        height, width = truth.mask.shape
        ignore = None if truth.ignore is None else np.packbits(truth.ignore)
        return cls((height, width), np.packbits(truth.mask), ignore)

    def truth(self) -> GroundTruth:
        ignore = None if self.ignore is None else self._unpacked(self.ignore)
        return GroundTruth(mask=self._unpacked(self.mask), ignore=ignore)

    def _unpacked(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).view(np.bool_).reshape(self.shape)


def truth_of(
    sample: Sample, *, threshold: int, border: Literal["ignore", "foreground", "background"], memory: Memory
) -> GroundTruth:
    """Return the pixel truth of a sample at its image's size, read from its files or from memory.

    Args:
        sample: the image.
        threshold: mask values above it are defect, as in ``load_truth``.
        border: what the border class of a trimap counts as.
        memory: where truths are kept by the content hashes of image and mask.

    Raises:
        DataError: the mask cannot be read or has not the size of the image.
    """
    from benchmark.data.images import image_shape, load_truth

    if sample.mask is not None and sample.mask_sha256 is None:
        return load_truth(sample, shape=image_shape(sample.image), threshold=threshold, border=border)
    key = ("truth", sample.sha256, sample.mask_sha256, sample.mask_format, threshold, border)
    kept = memory.get(key)
    if isinstance(kept, _Packed):
        return kept.truth()
    truth = load_truth(sample, shape=image_shape(sample.image), threshold=threshold, border=border)
    memory.put(key, _Packed.of(truth))
    return truth
