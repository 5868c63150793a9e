"""Which good images of a category are looked at to learn what it shows."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from benchmark.core.samples import Manifest, Sample
from benchmark.core.settings import Settings

Pool = Literal["train_first", "released_code"]
RELEASED_TEST = frozenset({"mvtec", "visa", "mtd", "ksdd1", "ksdd2"})
"""Data sets whose good test images the released code takes (utils/function.py, get_paths)."""
RELEASED_DEFECTIVE = frozenset({"dagm"})
"""Here it lists the folder of label files, which only defective images have."""


class NormalSettings(Settings):
    """How good images are chosen."""

    number: int = Field(ge=1)
    """Most of them for a category."""
    pool: Pool
    """``train_first``: training images, and good test images where there are none; ``released_code``: as that takes
    them, which for some data sets are good test images, and for DAGM defective ones."""
    draw: Literal["hash", "random"]
    """``hash``: by a hash of the image's content, whatever order or other images there are; ``random``: drawn from
    the sorted names."""
    seed: int = Field(ge=0)


def pool(manifest: Manifest, category: str, *, kind: Pool) -> tuple[Sample, ...]:
    """Return the images of a category that may be looked at, sorted by id; empty where there is none."""
    mine = sorted((s for s in manifest.samples if s.category == category), key=lambda sample: sample.id)
    if kind == "released_code" and manifest.dataset in RELEASED_DEFECTIVE:
        return tuple(s for s in mine if s.defective)
    good = tuple(s for s in mine if not s.defective)
    train = tuple(s for s in good if s.split == "train")
    if kind == "released_code":
        return tuple(s for s in good if s.split == "test") if manifest.dataset in RELEASED_TEST else train
    return train or good


def choose(candidates: Sequence[Sample], settings: NormalSettings, *, number: int | None = None) -> tuple[Sample, ...]:
    """Return the images that are looked at.

    The released code draws all categories from one generator, so that its choice depends on their order; here
    every category has a generator of its own.

    Args:
        candidates: sorted by id.
        number: at most so many, in place of the setting.
    """
    most = min(settings.number if number is None else number, len(candidates))
    if settings.draw == "random":
        return tuple(random.Random(settings.seed).sample(list(candidates), most))
    ranked = sorted(candidates, key=lambda s: (_rank(settings.seed, s.sha256), s.id))
    return tuple(ranked[:most])


def _rank(seed: int, content: str) -> str:
    return hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()
