"""A picture of some images of a dataset with their masks over them, to see whether both are what they should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.core.atomic import replacing
from benchmark.core.drawings import ClassIds
from benchmark.core.errors import DataError
from benchmark.core.samples import evenly
from benchmark.core.text import encodable
from benchmark.data.draw import draw
from benchmark.data.images import load_image
from benchmark.data.masks import load_levels

if TYPE_CHECKING:
    from PIL.Image import Image

    from benchmark.data.records import Record
    from benchmark.data.verify import Verification

SHOWN = 24
"""Images on the sheet, spread evenly over those with a mask and those without."""
COLUMNS = 6
SIDE = 200
CAPTION = 28
"""Pixels."""


def contact_sheet(found: Verification, place: Path) -> Path:
    """Draw images with their masks in red, and write a PNG.

    Args:
        found: what was found in the folder.
        place: file to write; its folder is made.
    """
    from PIL import Image, ImageDraw

    masked = [record for record in found.records if record.located]
    plain = [record for record in found.records if not record.located]
    chosen = (*_some(masked, SHOWN * 2 // 3), *_some(plain, SHOWN // 3))
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, max(1, rows) * (SIDE + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for at, record in enumerate(chosen):
        x, y = at % COLUMNS * SIDE, at // COLUMNS * (SIDE + CAPTION)
        sheet.paste(_tile(found, record), (x, y))
        pen.text((x + 3, y + SIDE), f"{record.category} {record.defect_type or 'good'}"[:32], fill="black")
        pen.text((x + 3, y + SIDE + 13), encodable(Path(record.image).name)[-32:], fill="grey")
    with replacing(place) as file:
        sheet.save(file, "PNG")
    return place


def _some(records: list[Record], count: int) -> Sequence[Record]:
    return evenly(records, count) if records else ()


def _marked(found: Verification, record: Record, shape: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Yield where each mask marks a defect, (H, W) bool, or where the drawing does."""
    if record.drawing is not None:
        yield draw(record.drawing, shape)[0]
    marks = (record.class_ids or ClassIds(defects=None)).chosen(tuple(range(256)))
    for name in record.masks:
        yield np.isin(load_levels(found.root / name, mask_format=record.mask_format, reading=found.reading), marks)


def _tile(found: Verification, record: Record) -> Image:
    from PIL import Image

    try:
        pixels = load_image(found.root / record.image, found.reading).astype(np.float32)
        for defect in _marked(found, record, (pixels.shape[0], pixels.shape[1])):
            pixels[defect] = 0.5 * pixels[defect] + 0.5 * np.array([255, 30, 30], dtype=np.float32)
    except (DataError, IndexError):  # IndexError: a mask of another size; verify names both
        return Image.new("RGB", (SIDE - 4, SIDE - 4), "black")
    tile = Image.fromarray(pixels.astype(np.uint8))
    tile.thumbnail((SIDE - 4, SIDE - 4))
    return tile
