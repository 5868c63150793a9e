"""One picture of the images with the highest scores, with where the scores are high and what is marked."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import Sample
from benchmark.core.text import encodable
from benchmark.results.export_files import whole
from benchmark.results.gallery import shrink

SHOWN = 24
COLUMNS = 6
SIDE = 220
CAPTION = 28
"""Pixels."""


@dataclass(frozen=True)
class _Tile:
    sample: Sample
    score: float
    label: bool | None
    scores: NDArray[np.float32] | None
    mask: NDArray[np.bool_] | None


class Overview:
    """Keeps what is drawn of the images with the highest scores, small; nothing else."""

    def __init__(self) -> None:
        self._tiles: list[tuple[float, int, _Tile]] = []
        self._seen = 0

    def add(
        self,
        sample: Sample,
        score: float,
        label: bool | None,
        scores: NDArray[Any] | None,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        """Look at one image.

        Args:
            sample: the image.
            score: of it.
            label: what it is called, if anything.
            scores: (H, W), its score map.
            mask: (H, W), what is marked.
        """
        self._seen += 1
        if len(self._tiles) == SHOWN and score <= self._tiles[0][0]:
            return
        small = None if scores is None else shrink(scores.astype(np.float32, copy=False), SIDE)
        marked = None if mask is None else shrink(mask.astype(np.float32), SIDE) > 0
        heapq.heappush(self._tiles, (score, -self._seen, _Tile(sample, score, label, small, marked)))
        if len(self._tiles) > SHOWN:
            heapq.heappop(self._tiles)

    def write(self, path: Path) -> bool:
        """Write a PNG, the highest score first; False: there was no image to draw."""
        from PIL import Image, ImageDraw

        if not self._tiles:
            return False
        tiles = [tile for _, _, tile in sorted(self._tiles, reverse=True)]
        maps = [tile.scores for tile in tiles if tile.scores is not None]
        low, high = (min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)) if maps else (0.0, 1.0)
        pictures = [Image.fromarray(_drawn(tile, low, high)) for tile in tiles]
        for picture in pictures:
            picture.thumbnail((SIDE - 4, SIDE - 4))
        rows, tallest = -(-len(tiles) // COLUMNS), max(picture.height for picture in pictures) + 2
        sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (tallest + CAPTION)), "white")
        draw = ImageDraw.Draw(sheet)
        for at, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
            x, y = at % COLUMNS * SIDE, at // COLUMNS * (tallest + CAPTION)
            sheet.paste(picture, (x, y))
            called = {True: "defective", False: "good", None: ""}[tile.label]
            draw.text((x + 3, y + tallest), f"{tile.score:.4g} {called}", fill="red" if tile.label else "black")
            draw.text((x + 3, y + tallest + 13), encodable(tile.sample.id)[-34:], fill="grey")
        with whole(path) as file:
            sheet.save(file, "PNG")
        return True


def _drawn(tile: _Tile, low: float, high: float) -> NDArray[np.uint8]:
    """The image with its scores in red, in the range of all that are shown, and a yellow line around what is marked."""
    import cv2

    from benchmark.data.images import load_image

    try:
        pixels = shrink(load_image(tile.sample.image, tile.sample.reading), SIDE).astype(np.float32)
    except DataError:
        return np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    if tile.scores is not None and high > low:
        share = np.clip((tile.scores - low) / (high - low), 0.0, 1.0)[..., None] * 0.7
        pixels = pixels * (1.0 - share) + share * np.array([255, 30, 30], dtype=np.float32)
    if tile.mask is not None:
        edge = tile.mask & (cv2.erode(tile.mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) == 0)
        pixels[edge] = (255, 230, 0)
    return pixels.round().astype(np.uint8)
