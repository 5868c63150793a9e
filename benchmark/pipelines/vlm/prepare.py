"""From an image file to the bytes that are sent: reference, alignment, size, encoding."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.chat.question import SentImage
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Manifest, Reading
from benchmark.core.settings import FilePath, Settings
from benchmark.data.align import AlignSettings, align

VERSION = 1
"""Raised when the same file would be sent as another image."""
Image = NDArray[np.uint8]


class ReferenceSettings(Settings):
    """The defect-free image that others are aligned to and compared with."""

    kind: Literal["none", "per_category", "fixed"]
    """``per_category``: a good training image of the sample's category; ``fixed``: the file ``path`` for all."""
    path: FilePath | None
    index: int = Field(ge=0)
    """Which good training image of the category, in the dataset's order."""
    shown: bool
    """False: it is only aligned to."""


class ImageSettings(Settings):
    """How images are encoded: 8-bit RGB PNG."""

    max_side: int | None = Field(ge=32)
    """Larger images are shrunk to this side, pixels; null: sent as they are."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One defect-free image."""

    path: Path
    sha256: str
    """Of the file."""
    image: Image
    """(H, W, 3) RGB."""
    sent: SentImage


def references(
    settings: ReferenceSettings, manifest: Manifest, categories: Sequence[str], image: ImageSettings
) -> dict[str, Reference]:
    """Choose and encode the reference of every category; empty where none is used.

    Raises:
        DataError: a category without such a training image, or a file that cannot be read.
        ConfigError: ``fixed`` without a path.
    """
    if settings.kind == "none":
        return {}
    if settings.kind == "fixed":
        if settings.path is None:
            raise ConfigError("pipeline.reference.kind=fixed needs pipeline.reference.path=<an image file>")
        path = settings.path
        if not path.is_file():
            raise DataError(f"{path}: no such reference image; give pipeline.reference.path=<an image file>")
        one = _reference(path, manifest.reading, hashlib.sha256(path.read_bytes()).hexdigest(), image)
        return dict.fromkeys(categories, one)
    found = {}
    for category in categories:
        good = [s for s in manifest.train if s.category == category and not s.defective]
        if settings.index >= len(good):
            raise DataError(
                f"category {category!r} of dataset {manifest.dataset!r} has {len(good)} good training images, "
                f"pipeline.reference.index={settings.index} needs one more; use pipeline.reference.kind=none with "
                "pipeline.align.motion=none, or kind=fixed with a path"
            )
        chosen = good[settings.index]
        found[category] = _reference(chosen.image, chosen.reading, chosen.sha256, image)
    return found


def _reference(path: Path, reading: Reading, sha256: str, settings: ImageSettings) -> Reference:
    from benchmark.data.images import load_image

    image = load_image(path, reading)
    return Reference(path=path, sha256=sha256, image=image, sent=encode(shrink(image, settings.max_side)))


def prepare(
    image: Image, reference: Reference | None, *, settings: ImageSettings, aligning: AlignSettings, where: str
) -> tuple[SentImage, dict[str, Any]]:
    """Align, shrink and encode an image; returns it with what was done (JSON values).

    Args:
        image: (H, W, 3) uint8 RGB.
        reference: what it is aligned to; None: it is not.
        settings: size and encoding.
        aligning: motion model; ``none`` switches alignment off.
        where: the image's file, for errors.

    Raises:
        DataError: image and reference differ in size and are to be aligned.
    """
    done: dict[str, Any] = {"height": image.shape[0], "width": image.shape[1], "aligned": False, "correlation": None}
    if reference is not None and aligning.motion != "none":
        if image.shape != reference.image.shape:
            raise DataError(
                f"{where}: the image is {image.shape[1]}x{image.shape[0]} (width x height), its reference "
                f"{reference.path} is {reference.image.shape[1]}x{reference.image.shape[0]}; images of one size can be "
                "aligned: give a fitting reference, or pipeline.align.motion=none"
            )
        aligned = align(image, reference.image, aligning)
        image = aligned.image
        correlation = None if aligned.correlation is None else round(aligned.correlation, 4)
        done |= {"aligned": aligned.aligned, "correlation": correlation}
    sent = shrink(image, settings.max_side)
    done |= {"sent_height": sent.shape[0], "sent_width": sent.shape[1]}
    return encode(sent), done


def shrink(image: Image, max_side: int | None) -> Image:
    """Shrink an image, (H, W, 3) uint8, by area averaging until its longer side is ``max_side``."""
    if max_side is None or max(image.shape[:2]) <= max_side:
        return image
    import cv2

    factor = max_side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    shrunk: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return shrunk


def encode(image: Image) -> SentImage:
    """Encode an image, (H, W, 3) uint8 RGB, as PNG; the bytes are the same wherever the same zlib is."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(image)).save(stream, "PNG", compress_level=6)
    return SentImage(stream.getvalue(), "image/png")
