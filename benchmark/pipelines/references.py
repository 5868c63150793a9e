"""The good training images that a pipeline learns a category from, and what the result says about that."""

from __future__ import annotations

import hashlib

import numpy as np

from benchmark.errors import DataError
from benchmark.samples import Sample
from benchmark.stages import Context, WeightsUsed


def normal_images(context: Context, category: str, *, number: int | None, setting: str) -> tuple[Sample, ...]:
    """Return good training images of a category: all of them, or ``number`` chosen by the run's seed.

    Args:
        setting: key of the config that asks for them, for the message.

    Raises:
        DataError: there are none, or fewer than ``number``.
    """
    found = [s for s in context.manifest.train if s.category == category and not s.defective]
    least = 1 if number is None else number
    if len(found) < least:
        raise DataError(
            f"{context.manifest.dataset}/{category} has {len(found)} good training images, {setting} needs {least}; "
            "choose a dataset with a train split, or another pipeline"
        )
    if number is None:
        return tuple(found)
    chosen = np.random.default_rng([context.seed, *category.encode()]).choice(len(found), number, replace=False)
    return tuple(found[i] for i in sorted(chosen.tolist()))


def content_of(samples: tuple[Sample, ...]) -> str:
    """Return one digest (hex) over the contents of some images, in order."""
    return hashlib.sha256("".join(sample.sha256 for sample in samples).encode()).hexdigest()


def note_training(context: Context, name: str, *, images: str = "good training images") -> None:
    """Say in the result that images of its own dataset were learnt from, so that it does not pass for zero-shot.

    Args:
        images: which ones.
    """
    dataset = context.manifest.dataset
    context.note_weights(
        WeightsUsed(
            name=name,
            sha256="",
            licence=None,
            trained_on=(f"{dataset} ({images})",),
            target_data=(dataset,),
        )
    )
