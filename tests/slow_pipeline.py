"""A toy expensive stage for tests and benchmarks: regions from the image content alone, at a stated time per image."""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.samples import Manifest, MaskSet, Prediction, Regions, Sample
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.store import Store

SIDE = 32


def propose(image: np.ndarray, *, count: int = 8) -> Artifact:
    """Draw boxes that depend on the image's bytes only."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(np.frombuffer(hashlib.sha256(image.tobytes()).digest(), dtype=np.uint32))
    masks = np.zeros((count, height, width), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask[y : y + rng.integers(2, height // 2), x : x + rng.integers(2, width // 2)] = True
    return {"masks": MaskSet.encode(masks), "scores": rng.random(count).astype(np.float32)}


def slow_stage(
    *, seconds: float = 0.0, count: int = 8, version: int = 1, batch_size: int = 1, log: Path | None = None
) -> Stage:
    """A stage that takes this many seconds an image; ``log``, and one of each process, get the id that it begins."""

    def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
        made = []
        for item in inputs:
            assert item.image is not None
            assert item.sample is not None
            if log is not None:
                for path in (log, log.with_name(f"{log.name}-{os.getpid()}")):
                    with path.open("a") as file:
                        file.write(f"{item.sample.id}\n")
            end = time.perf_counter() + seconds
            artifact = propose(item.image, count=count)
            time.sleep(max(0.0, end - time.perf_counter()))
            made.append(artifact)
        return made

    return Stage(name="slow", version=version, settings={"count": count}, compute=compute, batch_size=batch_size)


class SlowRegions(Pipeline):
    """A region pipeline with one expensive stage and two cheap settings, like those that papers sweep."""

    seconds: float
    count: int
    batch_size: int
    log: Path | None
    max_area: float
    """Regions larger than this share of the image are left out."""
    top_k: int
    """So many regions with the highest scores are kept."""

    def not_in_result(self) -> tuple[str, ...]:
        return ("log", "seconds")

    def plan(self, context: Context) -> Plan:
        stage = slow_stage(seconds=self.seconds, count=self.count, batch_size=self.batch_size, log=self.log)
        return Plan(stages=dict.fromkeys(context.categories, (stage,)), predict=self._predict)

    def _predict(self, one: ImageResults) -> Prediction:
        masks, scores = one.artifact["masks"], one.artifact["scores"]
        height, width = masks.shape
        order = np.argsort(-scores, kind="stable")
        small = masks.areas()[order] <= self.max_area * height * width
        index = order[small][: self.top_k]
        regions = Regions(masks=masks, index=index, scores=scores[index])
        return Prediction(regions=regions, image_score=float(scores[index].max(initial=0.0)))


def write_images(folder: Path, n: int, *, side: int = SIDE, seed: int = 0) -> Manifest:
    """Write n distinct PNG files and return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        image = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        image.save(folder / f"{i:05d}.png", compress_level=1)
    return read_images(folder)


def read_images(folder: Path) -> Manifest:
    """Return the manifest of a folder of PNG files; every second one counts as defective."""
    samples = [
        Sample(
            id=path.name,
            image=path,
            mask=None,
            defective=bool(i % 2),
            category="toy",
            defect_type="spot" if i % 2 else "good",
            group=path.name,
            split="test",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for i, path in enumerate(sorted(folder.glob("*.png")))
    ]
    return Manifest(dataset="toy", samples=tuple(samples))


def digest(context: Context, stage: Stage) -> str:
    """Run the stage over the context's samples and hash what comes out, names and order included."""
    running = hashlib.sha256()
    for sample, artifact in context.run(stage):
        masks, scores = artifact["masks"], artifact["scores"]
        running.update(repr((sample.id, masks, scores.dtype, scores.tolist())).encode())
    return running.hexdigest()


def main() -> None:
    """Fill a store from a process of its own; print the digest, and what was computed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--regions", type=int, default=8)
    args = parser.parse_args()
    manifest = read_images(args.images)
    context = Context(manifest=manifest, samples=manifest.test[: args.count], store=Store(args.store))
    print("ready", flush=True)
    print(digest(context, slow_stage(seconds=args.seconds, count=args.regions)), context.stats["slow"].computed)


if __name__ == "__main__":
    main()
