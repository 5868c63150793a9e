"""Images with YOLO labels: a text file beside each image's folder, a line a defect, coordinates as shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmark.core.drawings import Shape
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import FolderPath
from benchmark.core.text import counted
from benchmark.core.yaml_files import read_yaml
from benchmark.data.annotations import Annotations, Mark, Marker, box, category_of, coordinates, fitted
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.images import EXTENSIONS
from benchmark.data.index import FileFacts
from benchmark.data.listed import Listed, Places, scan_listed, split_of
from benchmark.data.records import Record, Scan

_SLACK = 0.01
"""A share may be that much below 0 or above 1, as rounding leaves it."""
_YAML = ("data.yaml", "dataset.yaml", "data.yml")
_NO_LABELS = frozenset(
    {"classes.txt", "train.txt", "val.txt", "test.txt", "readme.txt", "notes.txt", "requirements.txt"}
)


class Yolo(Dataset):
    """Own images with detection boxes or outlines in the text files of YOLO."""

    root: FolderPath | None
    """Folder that images are below; None: that of ``path``."""
    category_from: Literal["dataset", "folder"]
    """Whether the folder that an image lies in is its category."""
    annotations: Annotations
    unannotated: Literal["good", "refuse"]
    """What an image without a label file is."""

    def locate(self, data_root: Path) -> Path:
        """Return the folder that images are below; raises ConfigError or DataError where nothing is there."""
        if self.path is None:
            raise ConfigError("dataset.path: say which data to read, dataset=yolo dataset.path=<folder or data.yaml>")
        if not self.path.exists():
            raise DataError(
                f"{self.path}: no such file or folder; give data.yaml, or the folder of images/ and labels/"
            )
        root = self.root or (self.path if self.path.is_dir() else self.path.parent)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; give dataset.root=<folder that the images are below>")
        return root

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say where images are looked for."""
        return f"{root}: no image in it; they lie in images/, images/train/ or train/images/, or where data.yaml says"

    def scan(self, root: Path) -> Scan:
        """List images and read their labels; labels that cannot be drawn or have no image are problems."""
        problems: list[str] = []
        places = Places(root)
        described = self._described()
        names = _class_names(described, places) if described else _listed_names(places)
        marker = Marker(settings=self.annotations, known=set(names.values()) or None)
        images = _images_of(described, places) if described else _usual_images(places)
        rows = list(self._rows(images, names, places, marker, problems))
        scan = scan_listed(rows, places, self.name, problems)
        return Scan(records=scan.records, problems=scan.problems, notes=(*marker.notes(), *scan.notes))

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Check that labels lie in their images."""
        return fitted(records, facts, upright=self.exif_orientation == "apply", rescale=self.annotations.rescale)

    def _described(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the YAML file of the data with its content, where there is one."""
        assert self.path is not None
        file = self.path
        if file.is_dir():
            file = next((file / name for name in _YAML if (file / name).is_file()), file)
        if file.is_dir():
            return None
        if file.suffix.casefold() not in (".yaml", ".yml"):
            raise DataError(
                f"{file}: neither a folder nor a YAML file; give data.yaml, or the folder of images/ and labels/"
            )
        content = read_yaml(file)
        if not isinstance(content, dict):
            raise DataError(f"{file}: no description of YOLO data; it needs train:, val: or test: and names:")
        return file, content

    def _rows(
        self, images: Mapping[str, str], names: Mapping[int, str], places: Places, marker: Marker, problems: list[str]
    ) -> Iterator[Listed]:
        used: dict[str, str] = {}
        bare: list[str] = []
        for image, split in images.items():
            label = _label_of(image)
            if label in used:
                problems.append(
                    f"{places.root}: {used[label]} and {image} have the same label file {label}; rename one"
                )
                continue
            used[label] = image
            found = places.spelt(label)
            marks: list[Mark] = []
            if found is None:
                bare.append(image)
            else:
                marks = _marks(places.root / found, names, problems)
            yield marker.row(
                where=str(places.root / (found or image)), image=image, marks=marks, relative=True, split=split,
                category=category_of(image, self.category_from),
            )  # fmt: skip
        if bare and (len(bare) == len(images) or self.unannotated == "refuse"):
            none = (
                "no label file at all"
                if len(bare) == len(images)
                else f"{counted(len(bare), 'image has', 'images have')} no label file"
            )
            problems.append(
                f"{places.root}: {none}; that of {bare[0]} is looked for at {_label_of(bare[0])}. Put it there, empty "
                "for a good image" + ("" if len(bare) == len(images) else ", or give dataset.unannotated=good")
            )
        problems += _left_labels(places, used)


def _class_names(described: tuple[Path, dict[str, Any]], places: Places) -> dict[int, str]:
    file, content = described
    names = content.get("names")
    if names is None:
        return _listed_names(places)
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else None
    try:
        if pairs is None:
            raise ValueError
        return {int(key): str(name) for key, name in pairs}
    except ValueError:
        raise DataError(
            f"{file}: names is neither a list nor numbers with names; write names: [scratch, dent]"
        ) from None


def _listed_names(places: Places) -> dict[int, str]:
    for name in ("classes.txt", "labels/classes.txt", "obj.names"):
        found = places.spelt(name)
        if found is not None:
            lines = _text(places.root / found).split("\n")
            return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def _images_of(described: tuple[Path, dict[str, Any]], places: Places) -> dict[str, str]:
    """Return the images that a YAML file names, with the word of their split."""
    file, content = described
    base = file.parent / str(content.get("path") or "")
    bases = [base] if base.is_dir() else []
    images: dict[str, str] = {}
    for split in ("train", "val", "test"):
        entries = content.get(split) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            place = _place(str(entry), [*bases, file.parent])
            where = f"{file}, {split}"
            if place is None:
                if split == "test":  # templates name a test folder that many exports do not have
                    continue
                raise DataError(
                    f"{where}: {entry} is not there; correct it, it is relative to path: or to the file's folder"
                )
            for image in _in_place(place, where, places):
                images.setdefault(image, split)
    if not any(content.get(split) for split in ("train", "val", "test")):
        raise DataError(f"{file}: names no images; write train:, val: or test: with a folder of images")
    return images


def _place(entry: str, bases: Sequence[Path]) -> Path | None:
    """Find a folder or list below some folders; Roboflow writes ``../train/images`` for ``train/images``."""
    plain = entry.replace("\\", "/")
    for base in bases:
        for text in (plain, plain.removeprefix("../")):
            if (base / text).exists():
                return base / text
    return None


def _in_place(place: Path, where: str, places: Places) -> list[str]:
    """Return the images of a folder, or those that a text file lists."""
    if place.is_file():
        base = (
            places.below(str(place.resolve().parent), where) if place.resolve().parent != places.root.resolve() else ""
        )
        lines = [line.strip() for line in _text(place).split("\n") if line.strip()]
        return [places.find(line, f"{place}, line {at}", base=base) for at, line in enumerate(lines, start=1)]
    folder = place.resolve()
    return _below("" if folder == places.root.resolve() else places.below(str(folder), where), places)


def _usual_images(places: Places) -> dict[str, str]:
    """Return the images of a folder without a YAML file: of images/, of train/images/ and so on, or right in it."""
    for folders in (["images"], ["train/images", "valid/images", "val/images", "test/images"], [""]):
        there = [found for folder in folders if (found := places.spelt(folder)) is not None]
        images = [image for folder in there for image in _below(folder, places)]
        if images:
            return {image: split_of(image.rpartition("/")[0]) for image in images}
    return {}


def _below(folder: str, places: Places) -> list[str]:
    """Return every image in a folder and in those below it, sorted."""
    images: list[str] = []
    for name in sorted(places.names(folder)):
        path = f"{folder}/{name}" if folder else name
        if name.startswith(".") or name == "__MACOSX":
            continue
        if Path(name).suffix.lower() in EXTENSIONS:
            images.append(path)
        elif name != "labels" and (places.root / path).is_dir():
            images += _below(path, places)
    return images


def _label_of(image: str) -> str:
    """Return where an image's label file lies: ``a/images/b/x.jpg`` has ``a/labels/b/x.txt``."""
    folder, _, name = image.rpartition("/")
    parts = folder.split("/")
    for at in reversed(range(len(parts))):
        if parts[at].casefold() == "images":
            parts[at] = "labels"
            break
    folder = "/".join(parts)
    label = f"{name.rpartition('.')[0]}.txt"
    return f"{folder}/{label}" if folder else label


def _left_labels(places: Places, used: Mapping[str, str]) -> Iterator[str]:
    """Yield label files without an image."""
    spelt = {places.spelt(label) for label in used}
    for folder in sorted({label.rpartition("/")[0] for label in used}):
        there = places.spelt(folder)
        for name in sorted(places.names(there)) if there is not None else ():
            path = f"{there}/{name}" if there else name
            label = name.casefold().endswith(".txt") and name.casefold() not in _NO_LABELS and not name.startswith(".")
            if label and path not in spelt:
                yield f"{places.root / path}: labels without an image; put its image where others are, or remove them"


def _marks(file: Path, names: Mapping[int, str], problems: list[str]) -> list[Mark]:
    marks = []
    for number, line in enumerate(_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            marks.append(_mark(line.split(), names))
        except ValueError as error:
            problems.append(f"{file}, line {number}: {error}; correct it, or remove the line")
    return marks


def _mark(words: Sequence[str], names: Mapping[int, str]) -> Mark:
    """Read one line: class, then x y width height of a box, or x y of each corner of an outline."""
    try:
        cls = float(words[0])
        values = coordinates(map(float, words[1:]))
    except ValueError as error:
        wrong = str(error) if "coordinate" in str(error) else "it holds something else than numbers with spaces between"
        raise ValueError(wrong) from None
    if cls < 0 or not cls.is_integer() or (names and int(cls) not in names):
        raise ValueError(
            f"there is no class {words[0]}; " + (f"classes go from 0 to {max(names)}" if names else "0 is the first")
        )
    name = names.get(int(cls), f"class {int(cls)}")
    if any(not -_SLACK <= value <= 1 + _SLACK for value in values):
        raise ValueError(
            "its coordinates are not shares of width and height, 0 to 1; divide pixels by the image's size"
        )
    if len(values) == 4:
        x, y, width, height = values
        return Mark(name=name, shapes=(box(x - width / 2, y - height / 2, width, height),), kind="box")
    if len(values) == 5:
        raise ValueError("a box and a confidence are a prediction, not a label; remove the last number if it is one")
    if len(values) < 6 or len(values) % 2:
        raise ValueError(
            f"{counted(len(words), 'number is', 'numbers are')} neither class x y width height nor class "
            f"and three corners or more"
        )
    return Mark(name=name, shapes=(Shape(kind="polygon", points=values),), kind="outline")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); fix or remove it") from None
