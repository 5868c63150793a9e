"""Small folders as annotation tools leave them, for the tests of the importers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.core.samples import Manifest, Sample
from benchmark.data.images import image_shape
from benchmark.data.masks import load_truth
from tests.data.dataset_trees import dataset, save

WIDTH, HEIGHT = 10, 8
SQUARE = [[2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]]
"""Outline of the pixels in rows 1..4 and columns 2..5."""


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[1:5, 2:6] = True
    return mask


def photo(path: Path, *, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), turned: int = 1) -> Path:
    """Write an image of (width, height) as it is stored, with an EXIF orientation."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    if turned != 1:
        exif[0x0112] = turned
    return save(path, pixels, **({"exif": exif} if turned != 1 else {}))


def coco(**changes: Any) -> dict[str, Any]:
    """A COCO file of two images, the second with one outlined scratch; annotation 1 takes further keys as ``one_…``."""
    one = {"id": 1, "image_id": 2, "category_id": 1, "bbox": [2, 1, 4, 4], "segmentation": SQUARE, "iscrowd": 0}
    one |= {key.removeprefix("one_"): value for key, value in changes.items() if key.startswith("one_")}
    plain = {key: value for key, value in changes.items() if not key.startswith("one_")}
    return {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT} for n in (1, 2)
        ],
        "annotations": [{key: value for key, value in one.items() if value is not ...}],
        "categories": [{"id": 1, "name": "scratch"}, {"id": 2, "name": "dent"}],
        **plain,
    }  # fmt: skip


def shape(kind: str = "polygon", points: Any = None, label: str = "scratch", **more: Any) -> dict[str, Any]:
    """One shape of labelme."""
    points = [[2, 1], [6, 1], [6, 5], [2, 5]] if points is None else points
    return {"label": label, "shape_type": kind, "points": points, **more}


def labelme(*shapes: dict[str, Any], image: str = "2.png", **changes: Any) -> dict[str, Any]:
    """A file of labelme."""
    return {
        "version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": None,
        "imageHeight": HEIGHT, "imageWidth": WIDTH, **changes,
    }  # fmt: skip


def write(path: Path, content: Any, *, encoding: str = "utf-8") -> Path:
    """Write text, or anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode(encoding))
    return path


def read(option: str, path: Path, **changes: Any) -> Manifest:
    """Index an option's data."""
    return dataset(option, path=path, **changes).manifest(path)


def truth(sample: Sample) -> np.ndarray:
    """Return the pixel truth of a sample that has one, (H, W) bool."""
    found = load_truth(sample, shape=image_shape(sample.image, sample.reading))
    assert found.known
    return found.mask


def told(found: Manifest) -> list[tuple[str, bool, str]]:
    """Id, label and defect type of every test sample, by id."""
    return sorted((s.id, s.defective, s.defect_type) for s in found.test)
