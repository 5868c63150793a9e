"""Ground truths on demand; a sweep reads each file once and keeps a bit a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.memory import Memory
from benchmark.core.samples import GroundTruth, Sample
from benchmark.core.text import counted


@dataclass(frozen=True)
class _Packed:
    """A ground truth, eight pixels a byte."""

    shape: tuple[int, int]
    mask: NDArray[np.uint8]
    ignore: NDArray[np.uint8] | None
    known: bool

    @classmethod
    def of(cls, truth: GroundTruth) -> Self:
        height, width = truth.mask.shape
        ignore = None if truth.ignore is None else np.packbits(truth.ignore)
        return cls((height, width), np.packbits(truth.mask), ignore, truth.known)

    def truth(self) -> GroundTruth:
        ignore = None if self.ignore is None else self._unpacked(self.ignore)
        return GroundTruth(mask=self._unpacked(self.mask), ignore=ignore, known=self.known)

    def _unpacked(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).view(np.bool_).reshape(self.shape)


CLEAR = 64
"""Thresholds from here on cut the noise that JPEG leaves around what is drawn in a mask."""


def check_masks(samples: Sequence[Sample], *, threshold: int) -> list[str]:
    """Refuse masks that a threshold would read wrongly, and return notes on those that it may.

    Args:
        samples: of a run.
        threshold: a grey level above it is defect (0..254).

    Raises:
        DataError: JPEG masks under a threshold that takes their noise for defects, or masks of which none has a mark
            above the threshold though all have some (0 and 1 in place of 0 and 255).
    """
    grey = [s for s in samples if s.mask is not None and s.mask_format == "grey" and s.mask_peak]
    lossy = [s for s in grey if s.mask_lossy]
    if lossy and threshold < CLEAR:
        raise DataError(
            f"{lossy[0].mask}: a mask in a lossy format ({len(lossy)} of {len(grey)} are): the noise around its marks "
            f"counts as defect above protocol.mask_threshold={threshold}. Save the masks as PNG from their source, or "
            "give protocol.mask_threshold=127"
        )
    dim = [s for s in grey if s.mask_peak is not None and s.mask_peak <= threshold]
    if dim and len(dim) == len(grey):
        highest = max(s.mask_peak or 0 for s in dim)
        raise DataError(
            f"{dim[0].mask}: no mask has a level above protocol.mask_threshold={threshold}, the highest is {highest} "
            "(of 255; 16-bit levels are scaled to that): nothing would count as defect. Give protocol.mask_threshold=0,"
            " or save the masks with 0 and 255"
        )
    if not dim:
        return []
    return [
        f"{counted(len(dim), 'mask has', 'masks have')} marks, but none above the protocol's threshold "
        f"{threshold}; first {dim[0].id}"
    ]


def truth_of_failed(
    sample: Sample, *, threshold: int, border: Literal["ignore", "foreground", "background"]
) -> GroundTruth:
    """Return the pixel truth of a sample that could not be predicted, as far as its files still tell it.

    An image that cannot be read has the size of its mask or drawing; without one it has no pixels, so that it counts
    in image-level metrics alone.
    """
    from benchmark.data.images import image_shape
    from benchmark.data.masks import load_truth

    for sized in (sample.image, sample.mask):
        try:
            if sized is not None:
                return load_truth(sample, shape=image_shape(sized, sample.reading), threshold=threshold, border=border)
        except DataError:
            continue
    if sample.drawing is not None and sample.drawing.size is not None:
        width, height = sample.drawing.size
        return load_truth(sample, shape=(height, width), threshold=threshold, border=border)
    return GroundTruth(mask=np.zeros((0, 0), dtype=bool))


def truth_of(
    sample: Sample, *, threshold: int, border: Literal["ignore", "foreground", "background"], memory: Memory
) -> GroundTruth:
    """Return the pixel truth of a sample at its image's size, read from its files or from memory.

    Args:
        sample: the image.
        threshold: mask values above it are defect, as in ``load_truth``.
        border: what the border class of a trimap counts as.
        memory: where ground truths are kept by the content hashes of image and mask.

    Raises:
        DataError: the mask cannot be read or has not the size of the image.
    """
    from benchmark.data.images import image_shape
    from benchmark.data.masks import load_truth

    if sample.mask is not None and sample.mask_sha256 is None:
        return load_truth(sample, shape=image_shape(sample.image, sample.reading), threshold=threshold, border=border)
    key = ("truth", sample.sha256, sample.mask_sha256, sample.mask_format, threshold, border, sample.defective)
    kept = memory.get(key)
    if isinstance(kept, _Packed):
        return kept.truth()
    truth = load_truth(sample, shape=image_shape(sample.image, sample.reading), threshold=threshold, border=border)
    memory.put(key, _Packed.of(truth))
    return truth
