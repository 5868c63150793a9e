"""IAP-AS with fixed answers in place of networks, tagger and language model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.config.schema import settings_from
from benchmark.core.samples import Manifest, Prediction, Sample, Split
from benchmark.pipelines.iap.pipeline import IapAs
from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.pipelines.iap.taggers.base import ImageTags, Tag, Tagged, Tagger
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import compose
from tests.pictures import save_sample
from tests.pipelines.saa.fakes import Box
from tests.tiny_models import tiny

WIDTH, HEIGHT = 40, 20
WHOLE, EXACT = (0.5, 0.5, 1.0, 1.0), (0.5, 0.5, 0.8, 1.0)
OBJECT, LEFT, RIGHT = (0.5, 0.5, 0.9, 0.9), (0.25, 0.5, 0.3, 0.5), (0.7, 0.5, 0.4, 0.6)
OVER_LEFT, SMALL = (0.26, 0.5, 0.3, 0.5), (0.3, 0.5, 0.1, 0.3)
P_FINAL = "crack. hole. abnormal. defect. cup steel."
OFFICIAL = ". abnormal. crack. defect. hole, cup. steel."
FOUND: Sequence[tuple[Box, float, str]] = [
    (LEFT, 0.4, "crack."),
    (OVER_LEFT, 0.3, "hole."),
    (RIGHT, 0.25, "crack."),
    (SMALL, 0.2, "hole."),
    (WHOLE, 0.5, "cup steel"),
    (OBJECT, 0.1, "cup."),
]
ANSWERS: Mapping[str, Sequence[tuple[Box, float, str]]] = {
    "cup. steel.": [(OBJECT, 0.6, "cup. steel"), (LEFT, 0.3, "cup.")],
    "cup. steel. wood.": [(OBJECT, 0.5, "wood")],
    "cup steel.": [(OBJECT, 0.7, "cup steel"), (WHOLE, 0.2, "cup.")],
    P_FINAL: FOUND,
    OFFICIAL: FOUND,
}


class FixedTagger(Tagger):
    """Tags by the image's number, counted."""

    tags: tuple[tuple[str, ...], ...]
    calls: list[int]

    def identity(self) -> dict[str, Any]:
        return {"kind": "fixed", "tags": [list(t) for t in self.tags]}

    def look(self, context: Context, chosen: Any, normals: Sequence[Sample], *, dataset: str, category: str) -> Tagged:
        self.calls.append(len(normals))
        tags = [tuple(Tag(word, 0.5) for word in self.tags[i % len(self.tags)]) for i in range(len(normals))]
        return Tagged(images=tuple(ImageTags(sample=s, tags=t) for s, t in zip(normals, tags, strict=True)))


class FixedPrompter(Prompter):
    """One answer for every object, counted."""

    text: str
    calls: list[str]

    def identity(self) -> dict[str, Any]:
        return {"kind": "fixed", "text": self.text}

    def answer(self, context: Context, request: Request) -> Answer:
        self.calls.append(request.object)
        return Answer(raw=self.text, facts={"kind": "fixed"})


@cache
def composed(name: str) -> dict[str, Any]:
    # category_name and static stand in while composing: the tests give taggers and prompters of their own
    values, _ = compose(
        f"pipeline={name}",
        "tagger@pipeline.tagger=category_name",
        "prompter@pipeline.prompter=static",
        *(word for word in tiny("iap_as") if "tagger" not in word),
    )
    return {key: value for key, value in values["pipeline"].items() if key != "_target_"}


def pipeline(name: str = "iap_as", *, tags: Sequence[Sequence[str]] = (("cup", "steel"),), **changes: Any) -> IapAs:
    base = composed(name)
    given = {
        "tagger": FixedTagger(tags=tuple(map(tuple, tags)), calls=[]),
        "prompter": FixedPrompter(text=changes.pop("answer", "crack, hole"), calls=[]),
        **changes,
    }
    whole = {key for key, value in given.items() if not isinstance(value, dict) or "_target_" in value}
    merged = {key: value if key in whole else {**base[key], **value} for key, value in given.items()}
    return settings_from("pipeline", IapAs, {**base, **merged})


def image(folder: Path, name: str, *, defective: bool, split: Split, category: str = "bowl") -> Sample:
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return save_sample(folder / f"{name}.png", pixels, category=category, split=split, defective=defective)


def context(folder: Path, *, good: int = 2, dataset: str = "toy", store: str = "store", **more: Any) -> Context:
    normals = [image(folder, f"good{i}", defective=False, split="train") for i in range(good)]
    tested = image(folder, "bad", defective=True, split="test")
    manifest = Manifest(dataset=dataset, samples=(*normals, tested))
    return Context(manifest=manifest, samples=[tested], store=Store(folder / store / "stages"), workers=0, **more)


def predict(settings: IapAs, where: Context) -> Prediction:
    ((_, prediction),) = harness.predict(settings, where)
    return prediction


def rectangle(box: Box) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    x, y, w, h = box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT
    rows = slice(max(round(y - h / 2), 0), round(y + h / 2))
    mask[rows, max(round(x - w / 2), 0) : round(x + w / 2)] = True
    return mask


def summed(*boxes: tuple[Box, float]) -> NDArray[np.float64]:
    total = np.zeros((HEIGHT, WIDTH))
    for box, score in boxes:
        total += rectangle(box) * score
    return total
