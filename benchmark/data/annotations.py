"""What annotation tools say of an image (COCO, YOLO, labelme), and which of it is pixel truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from benchmark.core.drawings import Drawing, Shape
from benchmark.core.errors import ConfigError, DataError, near_matches
from benchmark.core.samples import Reading
from benchmark.core.settings import Settings
from benchmark.core.text import counted
from benchmark.data.draw import draw, overhang
from benchmark.data.index import FileFacts
from benchmark.data.listed import Listed
from benchmark.data.mvtec import LIKE_GOOD
from benchmark.data.record_files import size_as_read
from benchmark.data.records import Record, Scan

LARGEST = 2**30
"""Bytes of a JSON file at most."""
FARTHEST = 1e6
"""No coordinate is farther from an image's corner, pixels."""
NO_DEFECT = LIKE_GOOD | {"_background_", "background"}
"""Names of classes that are no defect, whatever their annotations cover."""
LABELME_IGNORE = "__ignore__"
_TINY = 2.0
"""Pixels; what is wider and higher covers at least one."""


class Annotations(Settings):
    """Which annotations are defects, and which pixels they mark."""

    defects: list[str] | None
    """Classes that are defects; None: all but those that are called good, ok, background and the like."""
    ignored: list[str]
    """Classes whose pixels count nowhere."""
    boxes: Literal["label", "mask"]
    """What a box without an outline says: that the image is defective, or that all pixels in it are."""
    crowd: Literal["defect", "ignore"]
    """What COCO's ``iscrowd`` regions are; in images that are ignored there, pixels count nowhere."""
    line_width: Annotated[float, Field(gt=0)] | None
    """Pixels that lines and points cover; None: they say no more than that the image is defective."""
    rescale: bool
    """Stretch annotations that were drawn on another size than the image's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One annotation."""

    name: str
    """Of its class."""
    shapes: tuple[Shape, ...]
    kind: Literal["outline", "box", "line"]
    crowd: bool = False
    size: tuple[int, int] | None = None
    """(width, height) that run lengths are of."""


@dataclass(kw_only=True)
class Marker:
    """Makes rows of annotated images, and counts what a reader of the result must know."""

    settings: Annotations
    known: Collection[str] | None = None
    """Classes that the files declare; None: those that occur."""
    seen: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unlocated: Counter[str] = field(default_factory=Counter)

    def row(
        self, *, where: str, image: str, marks: Sequence[Mark], size: tuple[int, int] | None = None,
        relative: bool = False, split: str = "", category: str = "",
    ) -> Listed:  # fmt: skip
        """Return what the annotations of one image say; an image without any is good.

        Args:
            where: file and place in it.
            image: path below the root.
            marks: its annotations.
            size: (width, height) that they were drawn on; None: the image's.
            relative: whether coordinates are shares.
            split: word of the split.
            category: "": that of the dataset.
        """
        shapes: list[Shape] = []
        kinds: set[str] = set()
        unlocated: set[str] = set()
        for mark in marks:
            self.seen[mark.name] += 1
            if mark.name in self.settings.ignored or mark.name == LABELME_IGNORE:
                shapes += map(_ignored, mark.shapes)
                continue
            if not self._is_defect(mark.name):
                self.left_out[mark.name] += 1
                continue
            kinds.add(mark.name)
            if mark.crowd and self.settings.crowd == "ignore":
                shapes += map(_ignored, mark.shapes)
            elif mark.kind == "box" and self.settings.boxes == "label":
                unlocated.add("box")
            elif mark.kind == "line" and self.settings.line_width is None:
                unlocated.add("line")
            else:
                shapes += mark.shapes
        self.unlocated.update(unlocated)
        drawn = bool(shapes) and not unlocated
        drawing = Drawing(shapes=tuple(shapes), size=size, relative=relative, where=where) if drawn else None
        return Listed(
            where=where, image=image, defective=bool(kinds), drawing=drawing, defect_type="+".join(sorted(kinds)),
            category=category, split=split,
        )  # fmt: skip

    def _is_defect(self, name: str) -> bool:
        if self.settings.defects is None:
            return name.casefold() not in NO_DEFECT
        return name in self.settings.defects

    def notes(self) -> list[str]:
        """Tell of annotations that count less than their files may mean; to be called after the last row.

        Raises:
            ConfigError: a setting names a class that is not there.
        """
        known = set(self.seen) if self.known is None else {*self.known, *self.seen}
        for key, names in (("defects", self.settings.defects or ()), ("ignored", self.settings.ignored)):
            for name in names:
                if name not in known:
                    raise ConfigError(f"dataset.annotations.{key}: no class {name!r}; {near_matches(name, known)}")
        notes = [
            f"{counted(number, f'annotation of class {name!r} is', f'annotations of class {name!r} are')} no defect; "
            "dataset.annotations.defects=[…] names what is"
            for name, number in sorted(self.left_out.items())
            if self.settings.defects is None
        ]
        if self.unlocated["box"]:
            notes.append(
                f"{counted(self.unlocated['box'], 'image has', 'images have')} defects with a box and no "
                f"outline: their pixels count nowhere; "
                "dataset.annotations.boxes=mask takes the whole box for defect"
            )
        if self.unlocated["line"]:
            notes.append(
                f"{counted(self.unlocated['line'], 'image has', 'images have')} defects drawn as lines or "
                f"points: their pixels count nowhere; "
                "dataset.annotations.line_width=3 draws them three pixels wide"
            )
        return notes


def fitted(records: Sequence[Record], facts: Mapping[str, FileFacts], *, upright: bool, rescale: bool) -> Scan:
    """Check that what is drawn fits its image.

    Annotations are taken to be drawn on the image as it is read: upright with ``dataset.exif_orientation=apply``, as
    labelme, CVAT and the loaders of YOLO show it, on the stored grid with ``ignore``.

    Args:
        records: with drawings.
        facts: of every image.
        upright: whether images are turned as their EXIF data say.
        rescale: whether a drawing may be of another size than its image.
    """
    problems: list[str] = []
    stretched, cut, empty = [], [], []
    for record in records:
        known = facts[record.image]
        if record.drawing is None or not known.width:
            continue
        drawing = record.drawing
        size = size_as_read(known, Reading(upright=upright))
        if drawing.size not in (None, size):
            if not rescale:
                problems.append(_other_size(record, drawing, size, known, upright))
                continue
            stretched.append(record.image)
        reach = {overhang(drawing, shape, size) for shape in drawing.shapes}
        if "wholly" in reach:
            problems.append(
                f"{drawing.where}: an annotation of {record.image} lies outside the image, {size[0]}x{size[1]} "
                "(width x height); remove it, or correct its coordinates"
            )
        elif "partly" in reach:
            cut.append(record.image)
        if "wholly" not in reach and record.defective and _is_nothing(drawing, size):
            empty.append(record.image)
    notes = []
    if stretched:
        notes.append(
            f"annotations of {counted(len(stretched), 'image')} are stretched to the image's size, first {stretched[0]}"
        )
    if cut:
        notes.append(
            f"annotations of {counted(len(cut), 'image')} reach beyond the image and are cut there, first {cut[0]}"
        )
    if empty:
        notes.append(
            f"{counted(len(empty), 'defective image has', 'defective images have')} annotations "
            f"that cover no pixel, the first is {empty[0]}"
        )
    return Scan(records=tuple(records), problems=tuple(problems), notes=tuple(notes))


def _is_nothing(drawing: Drawing, size: tuple[int, int]) -> bool:
    """Whether no pixel is defect; only what is tiny is drawn to find out."""
    shapes = [shape for shape in drawing.shapes if not shape.ignore]
    scale = size if drawing.relative else (1, 1)
    spans = [
        (max(s.points[axis::2]) - min(s.points[axis::2])) * scale[axis] for s in shapes if s.points for axis in (0, 1)
    ]
    if any(s.kind != "polygon" for s in shapes) or (spans and min(spans) > _TINY):
        return False
    return not draw(drawing, (size[1], size[0]))[0].any()


def _other_size(record: Record, drawing: Drawing, size: tuple[int, int], facts: FileFacts, upright: bool) -> str:
    assert drawing.size is not None
    text = (
        f"{drawing.where}: drawn on {drawing.size[0]}x{drawing.size[1]} (width x height), but {record.image} is "
        f"{size[0]}x{size[1]}; "
    )
    if facts.orientation != 1 and drawing.size == size[::-1]:
        other = "ignore" if upright else "apply"
        return f"{text}its EXIF orientation is {facts.orientation}: perhaps dataset.exif_orientation={other}"
    return (
        f"{text}correct the size in the file, or, if the image was resized after it was annotated, give "
        "dataset.annotations.rescale=true"
    )


def _ignored(shape: Shape) -> Shape:
    return Shape(kind=shape.kind, points=shape.points, width=shape.width, runs=shape.runs, ignore=True)


def read_json(path: Path) -> Any:
    """Read a JSON file; raises DataError with its name where it is too large, no UTF-8, no JSON or nested too deep."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than 1 GiB; split it by images")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deep to be annotations; write it anew") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); write it anew") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the path of a JSON file") from None


def coordinates(values: Iterable[object]) -> tuple[float, ...]:
    """Return numbers of a file as coordinates.

    Raises:
        ValueError: one is no number, not finite or far outside every image; the message goes behind a place.
    """
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"its coordinate {str(value)[:30]!r} is no number")
        if not abs(value) <= FARTHEST:  # nor NaN; a number of any length can be compared
            raise ValueError(f"its coordinate {str(value)[:30]} lies in no image")
        found.append(float(value))
    return tuple(found)


def box(x: float, y: float, width: float, height: float) -> Shape:
    """Return a box as a polygon; raises ValueError where it covers nothing."""
    if width <= 0 or height <= 0:
        raise ValueError(f"its box of {width:g} x {height:g} covers nothing")
    return Shape(kind="polygon", points=(x, y, x + width, y, x + width, y + height, x, y + height))


def category_of(image: str, category_from: Literal["dataset", "folder"]) -> str:
    """Return the folder that an image lies in, where that is its category; "": that of the dataset."""
    return image.split("/")[-2] if category_from == "folder" and "/" in image else ""
