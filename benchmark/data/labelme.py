"""Images annotated with labelme: a JSON file for each image, outlines, boxes, circles, lines and masks in it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.core.drawings import Shape
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import FolderPath
from benchmark.core.text import counted
from benchmark.data.annotations import Annotations, Mark, Marker, box, category_of, coordinates, fitted, read_json
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.draw import runs_of
from benchmark.data.images import EXTENSIONS, opened
from benchmark.data.index import FileFacts
from benchmark.data.listed import Listed, Places, scan_listed, split_of
from benchmark.data.records import Record, Scan

_CORNERS = 256
"""Of a circle's polygon."""
_MOST_PIXELS = 2**28


class Labelme(Dataset):
    """Own images whose defects are annotated in labelme."""

    root: FolderPath | None
    """Folder that images and JSON files are below; None: ``path``."""
    category_from: Literal["dataset", "folder"]
    """Whether the folder that an image lies in is its category."""
    annotations: Annotations
    unannotated: Literal["good", "leave_out", "refuse"]
    """What an image without a JSON file is."""

    def locate(self, data_root: Path) -> Path:
        """Return the folder that images are below; raises ConfigError or DataError where nothing is there."""
        if self.path is None:
            raise ConfigError("dataset.path: say which folder to read, dataset=labelme dataset.path=<folder>")
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder; give the folder of labelme's JSON files as dataset.path")
        root = self.root or self.path
        if not root.is_dir() or not self.path.resolve().is_relative_to(root.resolve()):
            raise DataError(
                f"{root}: no folder above {self.path}; give dataset.root=<folder above images and JSON files>"
            )
        return root

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say that no image is annotated."""
        return (
            f"{self.path}: no JSON file of labelme in it or below; save annotations there, or give another dataset.path"
        )

    def scan(self, root: Path) -> Scan:
        """Read every JSON file; shapes that cannot be drawn and images that are not there are problems."""
        assert self.path is not None
        problems: list[str] = []
        notes: list[str] = []
        places = Places(root)
        marker = Marker(settings=self.annotations)
        files = [f for f in sorted(self.path.rglob("*")) if f.is_file() and not _hidden(f.relative_to(self.path))]
        rows: list[Listed] = []
        for file in files:
            if file.suffix.lower() == ".json":
                try:
                    rows += self._rows(file, places, marker, problems, notes)
                except DataError as error:
                    problems.append(str(error))
        if rows:
            rows += self._unannotated(files, rows, places, marker, problems, notes)
        scan = scan_listed(rows, places, self.name, problems)
        return Scan(records=scan.records, problems=scan.problems, notes=(*notes, *marker.notes(), *scan.notes))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Check that shapes fit their images."""
        return fitted(records, facts, upright=self.exif_orientation == "apply", rescale=self.annotations.rescale)

    def _rows(
        self, file: Path, places: Places, marker: Marker, problems: list[str], notes: list[str]
    ) -> Iterator[Listed]:
        content = read_json(file)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            notes.append(f"{file.name}: not used, as it has no list shapes")
            return
        base = file.resolve().parent.relative_to(places.root.resolve()).as_posix()
        try:
            image = places.find(str(content.get("imagePath") or ""), f"{file}, imagePath", base=base)
        except DataError as error:
            if not content.get("imageData"):
                raise
            raise DataError(f"{error}. The image in the JSON file itself (imageData) is not read") from None
        size = _size(file, content)
        marks = []
        for at, one in enumerate(content["shapes"], start=1):
            try:
                marks.append(_mark(one, size, self.annotations.line_width or 0.0))
            except KeyError as error:
                problems.append(f"{file}, shape {at}: it has no {error}; draw it anew, or remove it")
            except (ValueError, TypeError, AttributeError, DataError) as error:
                problems.append(f"{file}, shape {at}: {error}; draw it anew, or remove it")
        yield marker.row(
            where=str(file), image=image, marks=marks, size=size, split=split_of(image.rpartition("/")[0]),
            category=category_of(image, self.category_from),
        )  # fmt: skip

    def _unannotated(
        self, files: Sequence[Path], rows: Sequence[Listed], places: Places, marker: Marker, problems: list[str],
        notes: list[str],
    ) -> Iterator[Listed]:  # fmt: skip
        annotated = {row.image for row in rows}
        images = [places.below(str(f.absolute()), str(f)) for f in files if f.suffix.lower() in EXTENSIONS]
        bare = [image for image in images if image not in annotated]
        if bare and self.unannotated == "refuse":
            problems.append(
                f"{places.root / bare[0]}: {counted(len(bare), 'image has', 'images have')} no JSON file, "
                f"this one is the first; give "
                "dataset.unannotated=good if they have no defect, or leave_out"
            )
        elif bare and self.unannotated == "leave_out":
            notes.append(
                f"{counted(len(bare), 'image without a JSON file is', 'images without a JSON file are')} "
                f"left out, the first is {bare[0]}"
            )
        elif bare:
            notes.append(
                f"{counted(len(bare), 'image without a JSON file counts', 'images without a JSON file count')} "
                f"as good, the first is {bare[0]}"
            )
            for image in bare:
                yield marker.row(
                    where=str(places.root / image), image=image, marks=(), split=split_of(image.rpartition("/")[0]),
                    category=category_of(image, self.category_from),
                )  # fmt: skip


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _size(file: Path, content: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if not width and not height:
        return None
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        raise DataError(f"{file}: imageWidth {width} and imageHeight {height} are none of an image; correct them")
    return width, height


def _mark(one: Mapping[str, Any], size: tuple[int, int] | None, line_width: float) -> Mark:
    """Read one shape; raises ValueError, TypeError or KeyError where it cannot be drawn."""
    name, kind = str(one["label"]), one.get("shape_type") or "polygon"
    flat = coordinates(value for point in one["points"] for value in _pair(point))
    points = list(zip(flat[::2], flat[1::2], strict=True))
    if kind == "polygon" and len(points) > 2:
        return Mark(name=name, shapes=(Shape(kind="polygon", points=flat),), kind="outline")
    if kind == "rectangle" and len(points) in (2, 4):
        left, top, right, bottom = min(flat[::2]), min(flat[1::2]), max(flat[::2]), max(flat[1::2])
        return Mark(name=name, shapes=(box(left, top, right - left, bottom - top),), kind="box")
    if kind == "circle" and len(points) == 2:
        return Mark(name=name, shapes=(_circle(*points),), kind="outline")
    if kind in ("line", "linestrip", "point", "points") and points:
        return Mark(name=name, shapes=(Shape(kind="line", points=flat, width=line_width),), kind="line")
    if kind == "mask" and len(points) == 2 and isinstance(one.get("mask"), str):
        if size is None:
            raise ValueError("a mask needs imageWidth and imageHeight in the file")
        return Mark(name=name, shapes=(_embedded(one["mask"], points[0], size),), kind="outline")
    known = "polygon (3 points or more), rectangle (2 or 4), circle (2), line, linestrip, point or mask"
    raise ValueError(f"a {str(kind)[:30]!r} of {counted(len(points), 'point')} is none of: {known}")


def _pair(point: object) -> Sequence[object]:
    if not isinstance(point, list) or len(point) != 2:
        raise ValueError("a point is not [x, y]")
    return point


def _circle(centre: tuple[float, float], edge: tuple[float, float]) -> Shape:
    radius = math.dist(centre, edge)
    if not radius:
        raise ValueError("its circle has no radius")
    angles = [2 * math.pi * at / _CORNERS for at in range(_CORNERS)]
    ring = [c for a in angles for c in (centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a))]
    return Shape(kind="polygon", points=tuple(ring))


def _embedded(text: str, corner: tuple[float, float], size: tuple[int, int]) -> Shape:
    """Read the PNG of a mask that a tool found, which lies with its top left pixel at ``corner``."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its mask is no base64 text") from None
    with opened(Path("mask of a shape"), data) as image:
        part = np.asarray(image.convert("L")) > 0
    width, height = size
    x, y = round(corner[0]), round(corner[1])
    if width * height > _MOST_PIXELS or x < 0 or y < 0 or x + part.shape[1] > width or y + part.shape[0] > height:
        raise ValueError("its mask reaches beyond the image")
    whole = np.zeros((height, width), dtype=bool)
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Shape(kind="runs", runs=runs_of(whole))
