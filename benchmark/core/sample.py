"""One image of a dataset, and how its files are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.core.drawings import ClassIds, Drawing
from benchmark.core.questions import Questions

Split = Literal["train", "test"]
MaskFormat = Literal["grey", "class_ids", "trimap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files become pixels where they do not say it themselves."""

    bits: int = 16
    """How many bits of 16-bit greyscale images hold values: 12 means 0..4095. Masks have no such thing."""
    upright: bool = False
    """Turn image and mask as the EXIF orientation of each says."""
    crop: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the part that is taken, pixels, after turning; None: all."""


AS_STORED = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image of a dataset, with its ground truth."""

    id: str
    """Unique in its dataset and stable across machines: the image's path below the dataset root, ``encodable``."""
    image: Path
    mask: Path | None
    """Ground-truth mask file; None, and no ``drawing``: a good image, all zero, or a defective one of which only the
    label is known."""
    more_masks: tuple[Path, ...] = ()
    """Further masks of the same image; what any of them marks is defect."""
    mask_format: MaskFormat = "grey"
    """How mask values are read: grey level against the protocol's threshold, non-zero class ids, or trimap 1/2/3."""
    defective: bool
    """Image-level label."""
    category: str
    defect_type: str
    """Name of the defect kind, ``"good"`` for good images."""
    group: str
    """Samples of one group (exposures of one tile, parts of one item) are never split apart."""
    split: Split
    sha256: str
    """Content hash of the image file (hex), and of ``reading`` where that makes a difference to it."""
    mask_sha256: str | None = None
    """Content hash of the pixel truth (hex): of the mask file, and of how its numbers are read, or of ``drawing``."""
    drawing: Drawing | None = None
    """What is drawn on the image as shapes, in place of a mask file."""
    class_ids: ClassIds | None = None
    """Which numbers of a ``class_ids`` mask are defects; None: all but 0."""
    mask_peak: int | None = None
    """Highest level of the mask; None: not known."""
    mask_lossy: bool = False
    """Whether the mask's levels are blurred by its compression (JPEG)."""
    reading: Reading = AS_STORED
    """How image and mask are read."""
    questions: Questions | None = None
    """What a model is asked about the image; None: nothing."""
