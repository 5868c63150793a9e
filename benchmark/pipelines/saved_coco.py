"""Predictions as COCO: a list of results beside the list of images, or one file with images and annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.core.drawings import Drawing, Shape
from benchmark.core.errors import DataError
from benchmark.core.samples import MaskSet, Prediction, Regions, Sample
from benchmark.core.text import counted
from benchmark.data.annotations import NO_DEFECT, read_json
from benchmark.data.coco import MOST_PIXELS, by_id, id_text, read_mark, size_of
from benchmark.data.draw import draw
from benchmark.data.images import image_shape
from benchmark.pipelines.saved_table import Names
from benchmark.results.export_coco import IMAGES, UNLOCATED

_HIGHEST = float(np.finfo(np.float32).max)
"""Scores are kept as float32."""


@dataclass(frozen=True, kw_only=True)
class _Region:
    """One annotation: a compressed run-length code of a size, or shapes to be drawn."""

    score: float | None
    code: bytes | None = None
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] | None = None
    """(height, width) that it is of; None: of the image."""


@dataclass(frozen=True, kw_only=True)
class CocoSettings:
    """How COCO files are read."""

    images: Path | None
    """File with the list ``images``; None: the file itself, or ``coco.json`` beside it."""
    boxes: Literal["error", "mask"]
    """What a box without an outline is: refused, or a region of all pixels in it."""
    threshold: float | None
    """The mask is the union of the regions of this score or more; None: of all."""


def read_coco(
    file: Path, samples: Sequence[Sample], settings: CocoSettings
) -> tuple[Mapping[str, Callable[[], Prediction]], list[str]]:
    """Find the predictions of each sample in a COCO file.

    An image of the list without an annotation has none: its map is 0, its mask is empty. One that is not listed was
    not predicted. With scores the map is the largest score of the regions that cover a place, and the image score the
    largest of all; annotations without any score are masks alone.

    Args:
        file: COCO results, ``[{image_id, category_id, segmentation, score}]``, or an object with ``images`` and
            ``annotations``.
        samples: whose predictions are looked for; images are known by ``file_name``.
        settings: see there.

    Returns:
        What reads the prediction of a sample, by its id; and notes for the result.

    Raises:
        DataError: the file cannot be read, or an annotation in it; file, number and fix are named.
    """
    data = read_json(file)
    entries = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(entries, list):
        raise DataError(f"{file}: neither a list of COCO results nor an object with images and annotations")
    listing_file, listing = _listing(file, data, settings.images)
    images = _images(listing_file, listing["images"])
    regions: dict[str, list[_Region]] = {key: [] for key in images}
    names = _category_names(listing)
    boxes = left_out = 0
    for at, one in enumerate(entries, start=1):
        where = f"{file}, annotation number {at}"
        key, name = _ids(one, where, images, names, listing_file)
        if name.casefold() in NO_DEFECT:
            left_out += 1
            continue
        region, is_box = _region(one, where, settings.boxes)
        boxes += is_box
        regions[key].append(region)
    scored = _scored(file, [region for some in regions.values() for region in some], is_list=isinstance(data, list))
    notes = [] if settings.threshold is not None or not scored else [_UNION]
    if boxes:
        notes.append(f"{counted(boxes, 'COCO region is a box', 'COCO regions are boxes')}, of which all pixels count")
    if left_out:
        told = counted(left_out, "COCO annotation is", "COCO annotations are")
        notes.append(f"{told} of classes that are no defect, and left out")
    found: dict[str, Callable[[], Prediction]] = {}
    by_name, elsewhere = Names(samples), 0
    by_id_of = {sample.id: sample for sample in samples}
    for key, entry in images.items():
        if entry.get(UNLOCATED):
            continue
        where = f"{listing_file}, image {key}"
        sample = by_name.of(str(entry.get("file_name") or ""), where)
        if sample is None:
            elsewhere += 1
        elif sample in found:
            raise DataError(f"{where}: {entry['file_name']} stands there twice; keep one entry an image")
        else:
            found[sample] = partial(
                _predicted, by_id_of[sample], entry, regions[key], settings.threshold, scored, where
            )
    empty = sum(not regions[key] and not entry.get(UNLOCATED) for key, entry in images.items())
    source = listing_file.name
    if empty:
        told = counted(empty, f"image of {source} has", f"images of {source} have")
        notes.append(f"{told} no region: nothing was found there")
    if elsewhere:
        notes.append(f"{counted(elsewhere, f'image of {source} is', f'images of {source} are')} not in this run")
    return found, notes


_UNION = (
    "the mask of an image is the union of its COCO regions of any score; pipeline.coco_threshold leaves low ones out"
)


def _listing(file: Path, data: Any, given: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return the object with the list of images, and the file that it is in."""
    beside = file.with_name(IMAGES)
    if given is None and isinstance(data, dict) and "images" in data:
        place, listing = file, data
    elif (place := given or beside).is_file():
        listing = read_json(place)
    else:
        raise DataError(
            f"{file}: results name images by number; give the JSON file whose list images has the numbers as "
            "pipeline.coco_images"
        )
    if not isinstance(listing, dict) or not isinstance(listing.get("images"), list):
        raise DataError(f"{place}: no list images in it, [{{id, file_name, width, height}}]; give another file")
    return place, listing


def _images(file: Path, entries: Sequence[Any]) -> dict[str, dict[str, Any]]:
    problems: list[str] = []
    images = by_id(file, entries, "image", problems)
    if problems:
        raise DataError(problems[0])
    for key, entry in images.items():
        try:
            width, height = size_of(entry) or (0, 0)
        except ValueError as error:
            raise DataError(f"{file}, image {key}: {error}; correct it") from None
        if width * height > MOST_PIXELS:
            raise DataError(f"{file}, image {key}: its size {width} x {height} is none of an image; correct it")
    return images


def _category_names(listing: Mapping[str, Any]) -> dict[str, str]:
    """Return names of classes by number; what is no class is nobody's, as numbers alone are enough."""
    some = listing.get("categories")
    named = [one for one in some if isinstance(one, dict) and "id" in one] if isinstance(some, list) else []
    found: dict[str, str] = {}
    for one in named:
        with suppress(ValueError):
            found[id_text(one["id"])] = str(one.get("name", ""))
    return found


def _ids(one: Any, where: str, images: Mapping[str, Any], names: Mapping[str, str], listing: Path) -> tuple[str, str]:
    """Return the image of an annotation, and the name of its class, "" where none is known."""
    try:
        key = id_text(one["image_id"])
        name = names.get(id_text(one["category_id"]), "") if "category_id" in one else ""
    except KeyError as error:
        raise DataError(f"{where}: it has no {error}; write it, or remove the annotation") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: not an annotation with image_id ({error}); write the file anew") from None
    if key not in images:
        raise DataError(
            f"{where}: no image {key} in {listing}; give the file that the numbers are of: pipeline.coco_images"
        )
    return key, name


def _region(one: Mapping[str, Any], where: str, boxes: str) -> tuple[_Region, bool]:
    """Read an annotation, and whether it is a box without an outline."""
    try:
        score = _score(one.get("score"))
        mark = read_mark(one, "", None)
    except KeyError as error:
        raise DataError(f"{where}: neither segmentation nor {error}; write one, or remove the annotation") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: {error}; correct it, or remove the annotation") from None
    if mark.kind == "box" and boxes == "error":
        raise DataError(
            f"{where}: a box without an outline; write its segmentation, or give pipeline.coco_boxes=mask, by which "
            "all pixels in a box count"
        )
    if mark.size is None:
        return _Region(score=score, shapes=mark.shapes), mark.kind == "box"
    size = mark.size[::-1]
    return _Region(score=score, code=_compressed(mark.shapes[0].runs, size), size=size), False


def _score(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its score {str(value)[:30]!r} is no number")
    if not 0 <= value <= _HIGHEST:
        raise ValueError(
            f"its score is {str(value)[:30]}, and must be finite and 0 or more, as places without a region have 0"
        )
    return float(value)


def _scored(file: Path, regions: Sequence[_Region], *, is_list: bool) -> bool:
    """Whether regions have scores; raises DataError where some have."""
    without = sum(region.score is None for region in regions)
    if 0 < without < len(regions):
        raise DataError(f"{file}: {without} of {len(regions)} annotations have no score; give one to each, or to none")
    return not without if regions else is_list


def _predicted(
    sample: Sample,
    entry: Mapping[str, Any],
    regions: Sequence[_Region],
    threshold: float | None,
    scored: bool,
    where: str,
) -> Prediction:
    """Make the prediction of one image, at the size that its regions are of."""
    width, height = size_of(entry) or image_shape(sample.image, sample.reading)[::-1]
    sizes = {region.size for region in regions if region.size is not None} or {(height, width)}
    if len(sizes) > 1:
        raise DataError(f"{where}: its run lengths are of several sizes, {sorted(sizes)}; write those of one")
    (shape,) = sizes
    masks = MaskSet.from_counts(shape, (_code(region, (width, height), shape, where) for region in regions))
    scores = np.array([region.score or 0.0 for region in regions], dtype=np.float32)
    kept = range(len(regions)) if threshold is None or not scored else np.flatnonzero(scores >= threshold).tolist()
    drawn = Regions(masks=masks, index=np.arange(len(regions)), scores=scores) if scored else None
    score = float(scores.max(initial=0)) if scored else None
    return Prediction(regions=drawn, mask=masks.union(kept), image_score=score)


def _code(region: _Region, size: tuple[int, int], shape: tuple[int, int], where: str) -> bytes:
    if region.code is not None:
        return region.code
    drawing = Drawing(shapes=region.shapes, size=size, relative=False, where=where)
    return MaskSet.encode(draw(drawing, shape)[0][None]).counts[0]


def _compressed(runs: Sequence[int], size: tuple[int, int]) -> bytes:
    from pycocotools import mask as coco

    code: bytes = coco.frPyObjects({"size": list(size), "counts": list(runs)}, *size)["counts"]
    return code
