"""Images with COCO annotations: one JSON file, or a folder with one for each split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmark.core.drawings import Shape
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import FolderPath
from benchmark.data.annotations import Annotations, Mark, Marker, box, category_of, coordinates, fitted, read_json
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.draw import checked_runs
from benchmark.data.index import FileFacts
from benchmark.data.listed import Listed, Places, scan_listed, split_in, split_of
from benchmark.data.records import Record, Scan

_LISTS = ("images", "annotations", "categories")
_FILES = ("*/_annotations.coco.json", "annotations/*.json", "*.json", "*/*.json")
"""Where the JSON files of a folder lie (Roboflow; COCO and CVAT; others); the first place that has some is taken."""
_IMAGES = ("", "images", "data", "JPEGImages", "images/default")
"""Folders that ``file_name`` may be below, beside those of the JSON file and of the split."""
MOST_PIXELS = 2**28
"""Of an image that run lengths or shapes are of."""


class Coco(Dataset):
    """Own images whose defects are annotated in COCO's format."""

    root: FolderPath | None
    """Folder that the images' names are below; None: that of the JSON file, or the one above ``annotations``."""
    category_from: Literal["dataset", "folder"]
    """Whether the folder that an image lies in is its category."""
    annotations: Annotations

    def locate(self, data_root: Path) -> Path:
        """Return the folder that images are below; raises ConfigError or DataError where nothing is there."""
        if self.path is None:
            raise ConfigError("dataset.path: say which annotations to read, dataset=coco dataset.path=annotations.json")
        if not self.path.exists():
            raise DataError(f"{self.path}: no such file; give a COCO JSON file, or a folder that holds some")
        root = self.root
        if root is None:
            folder = self.path if self.path.is_dir() else self.path.parent
            root = folder.parent if self.path.is_file() and folder.name.casefold() == "annotations" else folder
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; give dataset.root=<folder that the images are below>")
        return root

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say that no image is listed."""
        return f"{self.path}: no image is listed in it; it needs images: [{{id, file_name, width, height}}]"

    def scan(self, root: Path) -> Scan:
        """Read the files; annotations that cannot be drawn or have no image are problems."""
        problems: list[str] = []
        notes: list[str] = []
        places = Places(root)
        files = self._files(notes)
        known = {str(one.get("name")) for _, data in files for one in data["categories"] if isinstance(one, dict)}
        marker = Marker(settings=self.annotations, known=known)
        rows = (row for file, data in files for row in self._rows(file, data, places, marker, problems))
        scan = scan_listed(rows, places, self.name, problems)
        return Scan(records=scan.records, problems=scan.problems, notes=(*notes, *marker.notes(), *scan.notes))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Check that annotations fit their images."""
        upright = self.exif_orientation == "apply"
        return fitted(records, facts, upright=upright, rescale=self.annotations.rescale)

    def _files(self, notes: list[str]) -> list[tuple[Path, dict[str, Any]]]:
        """Return the JSON files with what they hold; others beside them are named in a note."""
        assert self.path is not None
        if self.path.is_file():
            return [(self.path, _checked(self.path, read_json(self.path)))]
        for pattern in _FILES:
            found = sorted(self.path.glob(pattern))
            read = [(file, read_json(file)) for file in found]
            usable = [(f, _checked(f, d)) for f, d in read if isinstance(d, dict) and d.keys() >= {*_LISTS}]
            if usable:
                left = [file.name for file, _ in read if file not in {f for f, _ in usable}]
                notes += [f"{name}: not used, as it has no images, annotations and categories" for name in left]
                return usable
        raise DataError(
            f"{self.path}: no COCO JSON file in it or in annotations/ (with images, annotations and categories); give "
            "the file itself as dataset.path"
        )

    def _rows(
        self, file: Path, data: dict[str, Any], places: Places, marker: Marker, problems: list[str]
    ) -> Iterator[Listed]:
        images = by_id(file, data["images"], "image", problems)
        categories = by_id(file, data["categories"], "category", problems)
        names = {key: str(one.get("name", key)) for key, one in categories.items()}
        marks = _marks(file, data["annotations"], images, names, problems)
        split = "" if self.path == file else split_in(file.relative_to(self.path or file).as_posix())
        base = _base(file, images, split, places)
        for key, one in images.items():
            where = f"{file}, image {one.get('id')}"
            try:
                image = places.find(str(one.get("file_name") or ""), where, base=base)
                size = size_of(one) or next((s for mark in marks[key] if (s := mark.size)), None)
            except DataError as error:
                problems.append(str(error))
            except ValueError as error:
                problems.append(f"{where}: {error}; correct it")
            else:
                yield marker.row(
                    where=where, image=image, marks=marks[key], size=size, split=split,
                    category=category_of(image, self.category_from),
                )  # fmt: skip


def _checked(file: Path, data: Any) -> dict[str, Any]:
    """Return a file's content; raises DataError where it has not the lists of COCO."""
    if isinstance(data, list):
        raise DataError(
            f"{file}: a list, as COCO writes predictions; give the ground truth, an object with images, annotations "
            "and categories"
        )
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise DataError(f"{file}: no COCO annotations, as it has no list images; give another file as dataset.path")
    wrong = next((name for name in _LISTS if not isinstance(data.get(name, []), list)), None)
    if wrong:
        raise DataError(f"{file}: {wrong} is no list; write it anew")
    return {**data, **{name: data.get(name, []) for name in _LISTS}}


def id_text(value: object) -> str:
    """Return an id as text: 1, 1.0 and "1" are one; raises ValueError for what is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{str(value)[:30]} is no id")
    return str(value).strip()


def by_id(file: Path, entries: Sequence[Any], what: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Return entries by their id as text; those without one, and ids that stand there twice, are problems."""
    found: dict[str, dict[str, Any]] = {}
    for at, entry in enumerate(entries, start=1):
        try:
            key = id_text(entry["id"])
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{file}, {what} number {at}: no usable id ({error}); give each one of its own")
            continue
        if key in found:
            problems.append(f"{file}, {what} {key}: the id stands there twice; give each one of its own")
        found.setdefault(key, entry)
    return found


def _marks(
    file: Path, entries: Sequence[Any], images: Mapping[str, Any], names: Mapping[str, str], problems: list[str]
) -> dict[str, list[Mark]]:
    """Return the annotations of each image; what cannot be drawn is a problem."""
    marks: dict[str, list[Mark]] = {key: [] for key in images}
    for at, one in enumerate(entries, start=1):
        where = f"{file}, annotation number {at}"
        try:
            where = f"{file}, annotation {one['id']}" if "id" in one else where
            image = id_text(one["image_id"])
            if image not in images:
                raise ValueError(f"there is no image {image}")
            name = id_text(one["category_id"]) if names else ""
            if names and name not in names:
                raise ValueError(f"there is no category {name}")
            marks[image].append(read_mark(one, names.get(name, "defect"), size_of(images[image])))
        except KeyError as error:
            problems.append(f"{where}: it has no {error}; write it, or remove the annotation")
        except (ValueError, TypeError, AttributeError) as error:
            problems.append(f"{where}: {error}; correct it, or remove the annotation")
    return marks


def read_mark(one: Mapping[str, Any], name: str, size: tuple[int, int] | None) -> Mark:
    """Read one annotation; raises ValueError, TypeError or KeyError where it cannot be drawn."""
    crowd = bool(one.get("iscrowd"))
    drawn = one.get("segmentation")
    if drawn and isinstance(drawn, dict):
        height, width = drawn["size"]
        if not _is_size(height, width) or height * width > MOST_PIXELS:
            raise ValueError(f"its run lengths have the size {drawn['size']}, which no image has")
        if size not in (None, (width, height)):
            raise ValueError(f"its run lengths are of {width}x{height} (width x height), its image of {size}")
        runs = Shape(kind="runs", runs=checked_runs(drawn["counts"], (height, width)))
        return Mark(name=name, shapes=(runs,), kind="outline", crowd=crowd, size=(width, height))
    if drawn and drawn != [[]]:
        rings = [drawn] if not isinstance(drawn[0], list) else drawn
        return Mark(name=name, shapes=tuple(map(_polygon, rings)), kind="outline", crowd=crowd)
    values = one["bbox"]
    if not isinstance(values, list) or len(values) != 4:
        raise ValueError("its bbox is not [x, y, width, height]")
    return Mark(name=name, shapes=(box(*coordinates(values)),), kind="box", crowd=crowd)


def _polygon(values: Sequence[object]) -> Shape:
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        raise ValueError("its outline is not [x1, y1, x2, y2, x3, y3, …] of three corners or more")
    return Shape(kind="polygon", points=coordinates(values))


def size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) as an image's entry says, None where it does not; raises ValueError for another thing."""
    width, height = image.get("width"), image.get("height")
    if not width and not height:
        return None
    if not _is_size(height, width):
        raise ValueError(f"its size {width} x {height} is none of an image")
    return int(width or 0), int(height or 0)


def _is_size(height: object, width: object) -> bool:
    return all(type(side) is int and side > 0 for side in (height, width))


def _base(file: Path, images: Mapping[str, Mapping[str, Any]], split: str, places: Places) -> str:
    """Return the folder below the root in which the first image is found; "" where it is in none of the usual ones."""
    name = next((str(one.get("file_name") or "") for one in images.values()), "")
    here = file.parent.relative_to(places.root).as_posix() if file.is_relative_to(places.root) else ""
    years = [word for word in file.stem.split("_") if split_of(word)]
    for base in (*(("" if here == "." else here,)), *_IMAGES, *years, *(f"images/{word}" for word in years), split):
        try:
            if places.spelt(base) is not None and places.spelt(places.below(name, "", base=base)) is not None:
                return base
        except DataError:
            continue
    return ""
