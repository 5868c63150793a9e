"""Masks that lie somewhere in a large image as COCO run-length codes, without a mask of the whole image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def placed_code(mask: NDArray[np.bool_], *, top: int, left: int, shape: tuple[int, int]) -> bytes:
    """Return the compressed code of a mask that lies at a place of a larger image.

    Args:
        mask: (h, w) bool.
        top: row of its first row in the image; ``left`` likewise.
        left: column of its first column.
        shape: (H, W) of the image, which holds the whole mask.
    """
    from pycocotools import mask as coco

    height, width = shape
    h, w = mask.shape
    if top < 0 or left < 0 or top + h > height or left + w > width:
        raise ValueError(f"a mask of {mask.shape} at {(top, left)} leaves an image of {shape}")
    # Column by column, each with an empty pixel behind it, so that no run goes on from one column into the next.
    columns = np.zeros((w, h + 1), dtype=np.int8)
    columns[:, :h] = mask.T
    steps = np.diff(columns.ravel(), prepend=np.int8(0))
    begin, end = (_in_image(np.flatnonzero(steps == sign), h + 1, top, left, height) for sign in (1, -1))
    if begin.size > 1:  # columns as high as the image: runs that touch are one
        apart = np.append(True, begin[1:] != end[:-1])
        begin, end = begin[apart], end[np.append(apart[1:], True)]
    ends = np.stack((begin, end), axis=1).ravel()
    whole = ends if ends.size and ends[-1] == height * width else np.append(ends, height * width)
    runs = np.diff(whole, prepend=0)
    code: bytes = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)["counts"]
    return code


def _in_image(places: NDArray[np.int64], step: int, top: int, left: int, height: int) -> NDArray[np.int64]:
    column, row = np.divmod(places, step)
    placed: NDArray[np.int64] = (left + column) * height + top + row
    return placed
