"""From an image file to the bytes that are sent: reference, alignment, size, encoding."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.chat.question import SentImage
from benchmark.core.errors import DataError
from benchmark.core.samples import Reading
from benchmark.core.settings import Settings
from benchmark.data.align import AlignSettings, align
from benchmark.results import gallery

VERSION = 1
"""Raised when the same file would be sent as another image."""
Image = NDArray[np.uint8]


class ImageSettings(Settings):
    """How images are encoded: 8-bit RGB PNG."""

    max_side: int | None = Field(ge=32)
    """Larger images are shrunk to this side, pixels; null: sent as they are."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One defect-free image."""

    path: Path
    sha256: str
    """Of the file, and of ``reading`` where that makes a difference to it."""
    reading: Reading
    settings: ImageSettings

    @property
    def image(self) -> Image:
        """(H, W, 3) RGB; raises DataError where it cannot be read."""
        return _loaded(self)[0]

    @property
    def sent(self) -> SentImage:
        """As it is sent."""
        return _loaded(self)[1]


@lru_cache(maxsize=16)
def _loaded(reference: Reference) -> tuple[Image, SentImage]:
    from benchmark.data.images import load_image

    image = load_image(reference.path, reference.reading)
    return image, encode(shrink(image, reference.settings.max_side))


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
        if aligned.aligned:
            done["matrix"] = [[round(float(value), 6) for value in row] for row in aligned.matrix]
    sent = shrink(image, settings.max_side)
    done |= {"sent_height": sent.shape[0], "sent_width": sent.shape[1]}
    return encode(sent), done


def frame(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an image lies in its file, as the key of an answer with places has it: size and rounded warp."""
    matrix = done.get("matrix")
    warp = None if matrix is None else [[round(value, 3) for value in row] for row in matrix]
    return {"height": done["height"], "width": done["width"], "matrix": warp}


def alike(stored: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Say whether two preparations of one image with equal settings show the same, up to versions of a library.

    Sizes are equal, and warps differ by no pixel at any corner; of answers that were stored without their warp, the
    correlation with the reference is the same up to a hundredth.
    """
    names = ("height", "width", "sent_height", "sent_width", "aligned")
    if any(stored.get(name) != now.get(name) for name in names):
        return False
    if "matrix" in stored and "matrix" in now:
        corners = np.array([(x, y, 1) for x in (0, now["width"] - 1) for y in (0, now["height"] - 1)], dtype=np.float64)
        moved = corners @ (np.array(stored["matrix"]) - np.array(now["matrix"])).T
        return bool(np.abs(moved).max() <= 1.0)
    before, after = stored.get("correlation"), now.get("correlation")
    return before == after or (before is not None and after is not None and abs(before - after) <= 0.01)


def shrink(image: Image, max_side: int | None) -> Image:
    """Shrink an image, (H, W, 3) uint8, by area averaging until its longer side is ``max_side``."""
    return image if max_side is None else gallery.shrink(image, max_side)


def encode(image: Image) -> SentImage:
    """Encode an image, (H, W, 3) uint8 RGB, as PNG; the bytes are the same wherever the same zlib is."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(image)).save(stream, "PNG", compress_level=6)
    return SentImage(stream.getvalue(), "image/png")
