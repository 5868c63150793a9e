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
"""Here it lists the folder of label files, which only defective images have, of Train and of Test apart."""
RELEASED_MIXED = frozenset({"ksdd1"})
"""Here it draws among all images of an item, and leaves out the defective ones that it drew."""


class NormalSettings(Settings):
    """How good images are chosen."""

    number: int = Field(ge=1)
    """Most of them for a category."""
    pool: Pool
    """``train_first``: training images, and good test images where there are none; ``released_code``: as that takes
    them, which for some data sets are good test images, and for DAGM defective ones."""
    draw: Literal["hash", "random"]
    """``hash``: by a hash of the image's content, whatever order or other images there are; ``random``: drawn from
    the sorted names. The released code draws all categories from one generator, which its drawing of masks moves on
    too, so that its choice depends on what came before; here every category has a generator of its own, as if it
    were the first."""
    seed: int = Field(ge=0)


def pool(manifest: Manifest, category: str, *, kind: Pool) -> tuple[Sample, ...]:
    """Return the images of a category that may be looked at, sorted by id; empty where there is none."""
    mine = _mine(manifest, category)
    if kind == "released_code" and manifest.dataset in RELEASED_DEFECTIVE:
        return tuple(s for s in mine if s.defective)
    good = tuple(s for s in mine if not s.defective)
    train = tuple(s for s in good if s.split == "train")
    if kind == "released_code":
        return tuple(s for s in good if s.split == "test") if manifest.dataset in RELEASED_TEST else train
    return train or good


def normals_of(manifest: Manifest, category: str, settings: NormalSettings, *, number: int) -> tuple[Sample, ...]:
    """Return the images of a category that are looked at, ``number`` at most; empty where there is none.

    With ``released_code`` the good images of KolektorSDD are those among so many of all, and DAGM's are so many of
    Test and so many of Train, as the released code draws them (utils/function.py, process_good_phrases).
    """
    if settings.pool == "released_code" and settings.draw == "random":
        if manifest.dataset in RELEASED_MIXED:
            drawn = choose(_mine(manifest, category), settings, number=number)
            return tuple(sample for sample in drawn if not sample.defective)
        if manifest.dataset in RELEASED_DEFECTIVE:
            every = pool(manifest, category, kind=settings.pool)
            halves = [tuple(s for s in every if f"/{half}/" in f"/{s.id}") for half in ("Train", "Test")]
            generator = random.Random(settings.seed)
            return tuple(one for half in halves for one in generator.sample(half, min(number, len(half))))
    return choose(pool(manifest, category, kind=settings.pool), settings, number=number)


def _mine(manifest: Manifest, category: str) -> list[Sample]:
    return sorted((s for s in manifest.samples if s.category == category), key=lambda sample: sample.id)


def choose(candidates: Sequence[Sample], settings: NormalSettings, *, number: int | None = None) -> tuple[Sample, ...]:
    """Return the images that are looked at.

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
