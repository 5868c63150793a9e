"""Images cut into tiles that are samples of their own, and the predictions of tiles put together again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.config.tiling import Tiling, starts
from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.results.export_files import drawn

Fact = float | int | str | None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """An image and its tiles, row by row."""

    sample: Sample
    shape: tuple[int, int]
    """(H, W) of the image; (0, 0) where it cannot be read, which its only tile, the whole image, will say."""
    tiles: tuple[Sample, ...]
    places: tuple[tuple[int, int, int, int], ...]
    """Top, left, height and width of each tile, pixels."""


def cut(sample: Sample, tiling: Tiling, *, by_place: bool) -> Cut:
    """Cut an image into tiles, by what its header says.

    A tile has a content hash of its own, so that whatever is stored of it is found again.

    Args:
        sample: the image.
        tiling: how; its size is given.
        by_place: tiles of each place are a category of their own, ``bottle@0,512``.
    """
    from benchmark.data.images import image_shape

    assert tiling.size is not None
    try:
        height, width = image_shape(sample.image, sample.reading)
    except DataError:
        return Cut(sample=sample, shape=(0, 0), tiles=(sample,), places=((0, 0, 0, 0),))
    places = tuple(
        (top, left, min(tiling.size, height), min(tiling.size, width))
        for top in starts(height, tiling.size, tiling.overlap)
        for left in starts(width, tiling.size, tiling.overlap)
    )
    tiles = tuple(_tile(sample, place, whole=len(places) == 1, by_place=by_place) for place in places)
    return Cut(sample=sample, shape=(height, width), tiles=tiles, places=places)


def _tile(sample: Sample, place: tuple[int, int, int, int], *, whole: bool, by_place: bool) -> Sample:
    top, left, *_ = place
    category = f"{sample.category}@{top},{left}" if by_place else sample.category
    if whole:
        return replace(sample, category=category)
    content = hashlib.sha256(f"{sample.sha256} tile {place}".encode()).hexdigest()
    return replace(
        sample,
        id=f"{sample.id}#{top},{left}",
        category=category,
        sha256=content,
        reading=replace(sample.reading, crop=place),
    )


def merge(cut: Cut, tiles: Iterator[Prediction], how: Literal["maximum", "mean"]) -> Prediction:
    """Put the predictions of an image's tiles together, one tile in memory beside the image's map.

    The image score is the largest of the tiles', the image is called defective where a tile is, its mask is all that
    is marked, and its reason that of the tile with the largest score. Regions are drawn. What only some of the tiles
    have is left out, and so are further facts, but for those on which all agree, and numbers: whole ones are summed
    up, of others it is the mean. A tile without an answer leaves the image without one.

    Args:
        cut: the image.
        tiles: a prediction of each of its tiles, in order.
        how: score maps are put together.

    Raises:
        DataError: a prediction of another size than its tile.
    """
    if len(cut.tiles) == 1:
        return next(tiles)
    canvas = _Canvas(cut.shape, how)
    mask = np.zeros(cut.shape, dtype=bool)
    kept: list[Prediction] = []
    failed: Prediction | None = None
    for sample, place, prediction in zip(cut.tiles, cut.places, tiles, strict=True):
        if failed is None and prediction.outcome != "ok":
            message = f"tile {sample.id.rpartition('#')[2]}: {prediction.message}"
            failed = Prediction(outcome=prediction.outcome, message=message)
        if failed is not None:  # what the others cost is still told
            kept.append(_without_pixels(prediction, has_mask=False))
            continue
        top, left, height, width = place
        scores = drawn(prediction, sample.id)
        for values in (scores, prediction.mask):
            if values is not None and values.shape != (height, width):
                raise DataError(f"{sample.id}: the prediction is {values.shape}, the tile {(height, width)}")
        canvas.add(scores, place)
        if prediction.mask is not None:
            mask[top : top + height, left : left + width] |= prediction.mask.astype(bool)
        kept.append(_without_pixels(prediction, has_mask=prediction.mask is not None))
    facts = {**_facts(kept), "tiles": len(kept)}
    if failed is not None:
        return replace(failed, extra=facts)
    best = max(kept, key=lambda p: -np.inf if p.image_score is None else p.image_score)
    labels = [p.label for p in kept]
    return Prediction(
        score_map=canvas.merged(cut.places),
        mask=mask if all(p.mask is not None for p in kept) else None,
        image_score=best.image_score if all(p.image_score is not None for p in kept) else None,
        unscored=any(p.unscored for p in kept),
        label=None if None in labels else any(labels),
        rationale=best.rationale,
        extra=facts,
    )


_MARK = np.zeros((0, 0), dtype=bool)
_LISTED = frozenset({"votes", "answer", "places", "model_version"})
"""Facts that are lists of words, one after the other: those of a language model's answers."""
_SUMMED = frozenset({"cost_usd"})


def _without_pixels(prediction: Prediction, *, has_mask: bool) -> Prediction:
    """What is remembered of a tile while others are looked at."""
    return replace(prediction, score_map=None, regions=None, mask=_MARK if has_mask else None)


def _facts(kept: Sequence[Prediction]) -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for name in kept[0].extra:
        values = [p.extra.get(name) for p in kept]
        if name in _LISTED:
            found[name] = " ".join(str(value) for value in values if value is not None) or None
        elif name in _SUMMED:
            numbers = [value for value in values if isinstance(value, int | float)]
            found[name] = float(sum(numbers)) if len(numbers) == len(values) else None
        elif all(value == values[0] for value in values) and isinstance(values[0], str | None):
            found[name] = values[0]
        elif all(isinstance(value, int) for value in values):
            found[name] = sum(int(value) for value in values if isinstance(value, int))
        elif all(isinstance(value, int | float) for value in values):
            found[name] = float(np.mean([float(value) for value in values if isinstance(value, int | float)]))
    return found


class _Canvas:
    """The score map of an image, in the precision of its tiles' maps."""

    def __init__(self, shape: tuple[int, int], how: Literal["maximum", "mean"]) -> None:
        self._shape, self._how = shape, how
        self._scores: NDArray[np.float32] | NDArray[np.float64] | None = None
        self._complete = True

    def add(self, scores: NDArray[np.float32] | None, place: tuple[int, int, int, int]) -> None:
        """Add the map of a tile; None: it has none, and so has the image none."""
        if scores is None:
            self._complete = False
            return
        if self._scores is None:
            empty = -np.inf if self._how == "maximum" else 0.0
            self._scores = np.full(self._shape, empty, dtype=scores.dtype)
        top, left, height, width = place
        window = self._scores[top : top + height, left : left + width]
        if self._how == "maximum":
            np.maximum(window, scores, out=window)
        else:
            window += scores * (_ramp(height)[:, None] * _ramp(width)[None, :]).astype(scores.dtype)

    def merged(self, places: Sequence[tuple[int, int, int, int]]) -> NDArray[np.float32] | NDArray[np.float64] | None:
        """Return the map; weights divide out row by row and column by column, as tiles stand on a grid."""
        if not self._complete or self._scores is None:
            return None
        if self._how == "mean":
            rows, columns = np.zeros(self._shape[0]), np.zeros(self._shape[1])
            for top, height in dict.fromkeys((top, height) for top, _, height, _ in places):
                rows[top : top + height] += _ramp(height)
            for left, width in dict.fromkeys((left, width) for _, left, _, width in places):
                columns[left : left + width] += _ramp(width)
            self._scores /= rows[:, None].astype(self._scores.dtype)
            self._scores /= columns[None, :].astype(self._scores.dtype)
        return self._scores


def _ramp(length: int) -> NDArray[np.float64]:
    """Weights along a tile, (length,), in (0, 1]: they fall evenly from its middle to its edges."""
    at = np.arange(length)
    return (np.minimum(at, length - 1 - at) + 1.0) / ((length + 1) // 2)
