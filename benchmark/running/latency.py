"""How long a prediction takes: cold start apart, one image at a time, many at once, stages apart.

Every image is computed anew: the stage store is a temporary one, and no image is predicted twice.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from benchmark.config.pipeline import make_plan, predictions
from benchmark.config.schema import RunConfig
from benchmark.core import provenance
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.sample_columns import Samples
from benchmark.core.settings import Record
from benchmark.core.table import Grid
from benchmark.core.text import counted
from benchmark.results.profile import StageTime
from benchmark.results.schema import plain
from benchmark.running.run import limited, make_context, make_manifest

WARM_UP = 3
"""Images that are predicted, one at a time, before any is timed."""
IMAGES = 43
"""Images that are used unless ``run.limit`` says otherwise: the cold one, the warm-up, half of the rest each way."""


class Latency(Record):
    """Times in milliseconds, of whole predictions: reading the image, every stage, and what follows them."""

    dataset: str
    pipeline: str
    device: str
    cold_start_ms: float
    """Preparation (weights, what a method learns) and the first image."""
    n_single: int
    """Images predicted one at a time."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    single_per_second: float
    n_together: int
    """Images predicted together; ``workers`` of the run decode them ahead."""
    together_per_second: float
    stages_ms: dict[str, float]
    """Mean of computing one image by stage, of those predicted one at a time."""
    together_stages: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Seconds of each stage over the images predicted together: ``computing``, ``waiting`` for images, ``storing``."""
    images_at_once: dict[str, int] = Field(default_factory=dict)
    """Images of the largest batch of each stage, of those predicted together."""
    peak_memory_mb: float
    gpu_memory_mb: float | None
    parameters: int | None = None
    """Of the networks in memory; None where there are none, and in files of before they were counted."""
    load: float | None
    """Jobs that wanted a processor, mean over the minute before; None where the system does not say."""
    hardware: dict[str, str | int | None]
    settings: dict[str, Any]
    """Of the pipeline."""


def measure_latency(config: RunConfig) -> Latency:
    """Time the predictions of a pipeline.

    Raises:
        ConfigError: a pipeline that predicts all images from each other, or reads only stored answers.
        DataError: fewer images than the measurement takes.
    """
    if config.tiling.size is not None:
        raise ConfigError("latency is that of whole images; leave tiling.size out, and give images as large as a tile")
    manifest = make_manifest(config)
    samples = limited(manifest, min(config.run.limit or IMAGES, len(manifest.test)))
    if len(samples) < WARM_UP + 5:
        raise DataError(f"latency takes {WARM_UP + 5} images or more, the run has {len(samples)}; raise run.limit")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory(prefix="benchmark-latency-") as folder:
        run = config.run.model_copy(update={"cache_root": Path(folder), "overwrite": "only_missing", "shard": None})
        context = make_context(replace(config, run=run), manifest, samples)
        start = time.perf_counter()
        plan = make_plan(config.pipeline, context, option=config.choices["pipeline"])
        if plan.predict is None:
            raise ConfigError(
                f"pipeline {config.choices['pipeline']} predicts all images from each other, so that one image has no "
                "latency; take another pipeline"
            )
        first, *rest = samples
        workers = context.workers

        def timed(some: Sequence[Any]) -> float:
            begin = time.perf_counter()
            context.samples = Samples.of(some)
            done = sum(1 for _ in predictions(plan, context))
            if done < len(some):
                raise DataError(f"{counted(len(some) - done, 'image')} could not be predicted; no latency is measured")
            return time.perf_counter() - begin

        context.workers = 0
        timed([first])
        cold = time.perf_counter() - start
        for sample in rest[:WARM_UP]:
            timed([sample])
        alone = rest[WARM_UP : WARM_UP + (len(rest) - WARM_UP + 1) // 2]
        together = rest[WARM_UP + len(alone) :]
        before = {name: stats.seconds for name, stats in context.stats.items()}
        singles = np.array([timed([sample]) for sample in alone])
        stages = {name: stats.seconds - before.get(name, 0.0) for name, stats in context.stats.items()}
        context.workers = workers
        context.stats.clear()
        whole = timed(together)
        times = {name: StageTime(s.seconds, s.waiting, s.storing) for name, s in sorted(context.stats.items())}
    p50, p90, p99 = (1000.0 * float(v) for v in np.percentile(singles, [50, 90, 99]))
    return Latency(
        dataset=config.choices["dataset"],
        pipeline=config.choices["pipeline"],
        device=context.device,
        cold_start_ms=1000.0 * cold,
        n_single=len(alone),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        single_per_second=len(alone) / float(singles.sum()),
        n_together=len(together),
        together_per_second=len(together) / whole,
        stages_ms={name: 1000.0 * seconds / len(alone) for name, seconds in sorted(stages.items()) if seconds > 0.0},
        together_stages={name: one._asdict() for name, one in times.items()},
        images_at_once={name: stats.images_at_once for name, stats in sorted(context.stats.items())},
        peak_memory_mb=provenance.peak_memory_mb(),
        gpu_memory_mb=provenance.gpu_memory_mb(),
        parameters=provenance.network_parameters(),
        load=load,
        hardware=provenance.hardware(),
        settings=plain(config.pipeline.model_dump(warnings=False)),
    )


def grid(found: Latency) -> Grid:
    """Lay a measurement out as one row of a table."""
    columns = (
        "pipeline", "dataset", "device", "cold start s", "p50 ms", "p90 ms", "p99 ms", "images / s, one by one",
        "images / s, together", "parameters M", "memory MB", "GPU MB",
    )  # fmt: skip
    row = (
        found.pipeline, found.dataset, found.device, f"{found.cold_start_ms / 1000:.2f}", f"{found.p50_ms:.1f}",
        f"{found.p90_ms:.1f}", f"{found.p99_ms:.1f}", f"{found.single_per_second:.2f}",
        f"{found.together_per_second:.2f}",
        "–" if found.parameters is None else f"{found.parameters / 1e6:.1f}", f"{found.peak_memory_mb:.0f}",
        "–" if found.gpu_memory_mb is None else f"{found.gpu_memory_mb:.0f}",
    )  # fmt: skip
    stages = ", ".join(f"{name} {ms:.1f} ms" for name, ms in found.stages_ms.items())
    shared = [f"{name} {StageTime(**times)}" for name, times in found.together_stages.items() if sum(times.values())]
    busy = "not known" if found.load is None else f"{found.load:.1f}"
    notes = (
        f"{counted(found.n_single, 'image')} one by one after {WARM_UP} for warming up, {found.n_together} together",
        f"of one image: {stages or 'no stage'}",
        f"of those together: {'; '.join(shared) or 'no stage'}",
        f"machine: {provenance.shown_hardware(found.hardware)}; load before: {busy}",
    )
    return Grid(title="Latency", columns=columns, rows=(row,), notes=notes, left=frozenset({0, 1, 2}))
