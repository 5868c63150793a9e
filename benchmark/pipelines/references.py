"""The good training images that a pipeline learns a category from, chosen by the seed or all."""

from __future__ import annotations

import hashlib

import numpy as np

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Sample
from benchmark.core.text import counted
from benchmark.models.score_map import reach
from benchmark.stages.context import Context

GOOD = "good training images"
"""From which images a pipeline learns, for ``Pipeline.learns``."""


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
            f"{context.manifest.dataset}/{category} has {counted(len(found), 'good training image')}, "
            f"{setting} needs {least}; "
            "choose a dataset with a train split (docs/own_parts.md: where each layout has it), or another pipeline"
        )
    if number is None:
        return tuple(found)
    chosen = np.random.default_rng([context.seed, *category.encode()]).choice(len(found), number, replace=False)
    return tuple(found[i] for i in sorted(chosen.tolist()))


def content_of(samples: tuple[Sample, ...]) -> str:
    """Return one digest (hex) over the contents of some images, in order."""
    return hashlib.sha256("".join(sample.sha256 for sample in samples).encode()).hexdigest()


def check_learning(context: Context, *, smoothing: float, side: int, name: str) -> None:
    """Refuse what a pipeline of smoothed maps cannot learn from or draw, before any work.

    Args:
        context: of the run.
        smoothing: standard deviation of the Gaussian over the map, pixels.
        side: of the map, pixels.
        name: of the pipeline, for the message.

    Raises:
        ConfigError: the Gaussian is wider than the map.
        DataError: a category has no good training images.
    """
    if reach(smoothing) >= side:
        raise ConfigError(f"pipeline.smoothing={smoothing} is too wide for a map of pipeline.backbone.side={side}")
    for category in context.categories:
        normal_images(context, category, number=None, setting=name)
