"""MMAD's layout in small: ``mmad.json``, its images and their templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.questions import DETECTION
from tests.data.dataset_trees import save

KINDS = (
    "Defect Classification", "Defect Localization", "Defect Description", "Defect Analysis", "Object Classification",
    "Object Structure", "Object Details",
)  # fmt: skip
FOLDERS = {
    "DS-MVTec": ("bottle", "image/{kind}/{i:03}.png", "broken_large"),
    "MVTec-LOCO": ("pushpins", "test/{kind}/{i:03}.png", "logical_anomalies"),
    "VisA": ("pcb1", "test/{kind}/{i:04}.JPG", "bad"),
    "GoodsAD": ("drink_can", "test/{kind}/{i:03}.jpg", "opened"),
}
"""Subset to its class here, how its images are called, and its kind of defect."""


def detection(answer: str, *, swapped: bool = False) -> dict[str, Any]:
    """Whether there is a defect, with the right answer in words."""
    options = {"A": "No.", "B": "Yes."} if swapped else {"A": "Yes.", "B": "No."}
    key = next(letter for letter, text in options.items() if text == answer)
    return {"Question": "Is there any defect?", "Answer": key, "Options": options, "type": DETECTION}


def asked(kind: str, key: str, letters: str = "ABCD") -> dict[str, Any]:
    """A question of another kind."""
    options = {letter: f"{kind} {letter}" for letter in letters}
    return {"Question": f"{kind}?", "Answer": key, "Options": options, "type": kind}


def entries(images: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield so many images of each subset, every second one good, with eight or three questions each."""
    for subset, (product, name, defect) in FOLDERS.items():
        train = subset.replace("DS-MVTec", "MVTec-AD")
        for i in range(images):
            bad = bool(i % 2)
            path = f"{subset}/{product}/" + name.format(kind=defect if bad else "good", i=i // 2)
            kinds = KINDS if bad else KINDS[4:6]
            keys = ("ABCD"[(i + at) % 4] for at in range(len(kinds)))
            others = [asked(kind, key) for kind, key in zip(kinds, keys, strict=True)]
            templates = [f"{train}/{product}/train/good/{(i + at) % 3:03}.png" for at in range(2)]
            yield (
                path,
                {
                    "image_path": path.partition("/")[2].partition("/")[2],
                    "mask_path": f"ground_truth/{defect}/{i:03}.png" if bad else "",
                    "conversation": [detection("Yes." if bad else "No.", swapped=i % 3 == 0), *others],
                    "random_templates": templates,
                    "similar_templates": templates[::-1],
                },
            )


def random_image(path: Path, number: int) -> None:
    """Write an image that no other one equals."""
    save(path, np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8))


def mmad_tree(
    root: Path,
    content: dict[str, dict[str, Any]],
    *,
    write: Callable[[Path, int], None] = random_image,
) -> Path:
    """Write ``mmad.json`` and every image that it names."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "mmad.json").write_text(json.dumps(content), encoding="utf-8")
    named = dict.fromkeys(content)
    for entry in content.values():
        named |= dict.fromkeys([*entry.get("random_templates", []), *entry.get("similar_templates", [])])
    for number, image in enumerate(named):
        write(root / image, number)
    return root
