"""A small dataset, and runs of the pipeline over it in this process."""

from __future__ import annotations

from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmark.config.schema import option_settings
from benchmark.core.samples import Manifest, Prediction, Sample
from benchmark.data.images import load_image
from benchmark.pipelines.vlm.pipeline import VisionLanguage
from benchmark.pipelines.vlm.prepare import encode, shrink
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import compose

KEY = "AIzaSy-not-a-real-key-0123456789"
PLAIN = ("pipeline.reference.kind=none", "pipeline.align.motion=none", "pipeline.prompts=gemini/generic")
FAST = ("pipeline.calls.first_delay_s=0.01", "pipeline.calls.longest_delay_s=0.05", "pipeline.calls.rpm=null")


@cache
def composed(name: str) -> dict[str, Any]:
    """The settings of a pipeline option; composed once, as that takes longer than most of the tests."""
    values: dict[str, Any] = compose(f"pipeline={name}")[0]["pipeline"]
    return values


def pipeline(folder: Path, *overrides: str, name: str = "gemini") -> VisionLanguage:
    """The pipeline as the command line makes it, one draw, against nothing unless told otherwise."""
    values = deepcopy(composed(name))
    given = [f"pipeline.answers.path={folder / 'answers'}", "pipeline.draws=1", *PLAIN, *FAST, *overrides]
    for override in given:
        key, _, value = override.partition("=")
        *parents, last = key.split(".")[1:]
        place = reduce(lambda found, part: found[part], parents, values)
        assert last in place, override
        place[last] = yaml.safe_load(value)
    built = option_settings("pipeline", values)
    assert isinstance(built, VisionLanguage)
    return built


def images(folder: Path, n: int, *, side: int = 12, seed: int = 0) -> tuple[Sample, ...]:
    """Write ``n`` random images, every third defective, as test samples."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        path = folder / f"{i:04d}.png"
        Image.fromarray(generator.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)
        samples.append(
            Sample(
                id=path.name,
                image=path,
                mask=None,
                defective=i % 3 == 0,
                category="toy",
                defect_type="scratch" if i % 3 == 0 else "good",
                group=path.name,
                split="test",
                sha256=f"{seed:032x}{i:032x}",
            )
        )
    return tuple(samples)


def context(folder: Path, samples: tuple[Sample, ...], *, train: tuple[Sample, ...] = ()) -> Context:
    """A context over samples of the dataset ``toy``."""
    manifest = Manifest(dataset="toy", samples=(*train, *samples))
    return Context(manifest=manifest, samples=samples, store=Store(folder / "store"), workers=0)


def predict(pipeline: VisionLanguage, where: Context) -> list[Prediction]:
    """Predict all samples, in order."""
    pairs = harness.predict(pipeline, where)
    assert [s.id for s, _ in pairs] == [s.id for s in where.samples]
    return [p for _, p in pairs]


def sent_sha256(sample: Sample, *, max_side: int | None = 1024) -> str:
    """Hash of the bytes that are sent for an image that is not aligned."""
    return encode(shrink(load_image(sample.image), max_side)).sha256


def everything_below(folder: Path) -> Any:
    """Yield (path, content) of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
