"""One run: dataset × pipeline × protocol → RunResult, its per-image rows, and its tracking entry."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.pipeline import Plan, make_plan
from benchmark.config.schema import RunConfig
from benchmark.core.errors import DataError, ResultsError, TrackingError
from benchmark.core.lazy import Lazy
from benchmark.core.memory import give_back_freed, process_memory
from benchmark.core.progress import Progress
from benchmark.core.text import each_text, encodable
from benchmark.results import files
from benchmark.results.at_address import check_copy, put_run
from benchmark.results.export import Export
from benchmark.results.export_index import EXPORT, is_exported
from benchmark.results.finished import Finished
from benchmark.results.gallery import Gallery, choose
from benchmark.results.replicates import encode_replicates
from benchmark.results.schema import (
    RunResult,
    data_label,
)
from benchmark.results.traces import write_traces
from benchmark.running.evaluating import Keepers, evaluate
from benchmark.running.names import identify
from benchmark.running.recording import assemble, how_called, identity, measure
from benchmark.running.sharding import Shard

if TYPE_CHECKING:
    from benchmark.core.samples import Manifest, Sample
    from benchmark.stages.context import Context


def execute(
    config: RunConfig,
    composed: Mapping[str, Any],
    *,
    command: Sequence[str],
    thumbnails: bool = True,
    track: Callable[[Path], str | None] | None = None,
) -> Finished | None:
    """Carry out one run and write its result.

    Args:
        config: the typed settings.
        composed: the same settings as plain containers, as the user gave them.
        command: the words of the command line, kept in the result.
        thumbnails: keep those of ``run.gallery`` images for the report, and metrics by defect type, size and image.
        track: logs a run's folder and returns the id of its entry if there is one already; None: ``config.tracking``.

    Returns:
        The finished run, or None where this job computed its shard and others are still at work.

    Raises:
        BenchmarkError: anything the user can fix; nothing half-written is left behind.
    """
    files.ensure_writable(config.run.results_root / "runs")
    if config.run.results_copy is not None:
        check_copy(config.run.results_copy)
    config.run.tell_cache()
    finished = _written(config, composed, command=command, thumbnails=thumbnails)
    if finished is None:
        return None
    if not finished.reused:
        give_back_freed()
        track = track or functools.partial(config.tracking.log, results_root=config.run.results_root)
        with Progress(finished.result.title, 1) as progress:
            progress.tell("tracking")
            try:
                finished = replace(finished, tracking_id=track(finished.folder))
            except TrackingError as error:
                finished = replace(finished, tracking_error=str(error))
            progress.advance()
    put_copy(config, finished.folder)
    return finished


def _written(
    config: RunConfig, composed: Mapping[str, Any], *, command: Sequence[str], thumbnails: bool
) -> Finished | None:
    """Compute and write a run, or find it there; what was held of its images is free when this returns."""
    start = time.monotonic()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = make_manifest(config)
    settings = identity(config, composed, manifest.dataset)
    run_id = identify(config, settings, manifest)
    folder = config.run.results_root / "runs" / run_id
    told = how_called(composed, command)
    kept = None
    if config.run.overwrite == "never" and (folder / files.RESULT).exists():
        kept = files.read_result(folder)
        if is_exported(folder / EXPORT, config.run.export, kept.digest):
            return Finished(folder=folder, result=kept, reused=True)
    context = make_context(config, manifest, limited(manifest, config.run.limit))
    export = make_export(config, folder, context.samples)
    title = f"{data_label(config.choices, manifest.dataset)} × {config.choices['pipeline']}"
    with Progress(title, len(context.samples)) as progress:
        context.on_progress = _shown_on(progress)
        progress.tell("loading networks")
        plan = plan_of(config, context)
        if config.run.shard is not None and not finish_shard(plan, context, Shard.parse(config.run.shard), folder):
            return None
        if config.run.engine == "ray":
            from benchmark.running.ray_engine import fill_store

            fill_store(config, plan, context, planned)
        chosen = choose(context.samples, config.run.gallery if thumbnails else 0)
        with Gallery(folder, chosen, store=context.store.here, workers=config.run.workers) as gallery, export:
            evaluation = evaluate(config, plan, context, Keepers(gallery, export), progress)
            progress.tell("drawing the gallery")
        progress.tell("metrics and intervals")
        found = evaluation.rows()
        rows: Sequence[dict[str, Any]] = Lazy(len(found), lambda at: each_text(found[at], encodable))
        facts = assemble(config, settings, plan, context, evaluation, rows, run_id=run_id)
        measured = measure(context, started=started, seconds=time.monotonic() - start, told=told)
        result = RunResult(**facts, measured=measured).sealed()
        if kept is not None and kept.digest != result.digest:
            raise ResultsError(
                f"{folder / files.RESULT} holds another result (digest {kept.digest[:12]}) than is found now, so that "
                "no export can be of it; run.overwrite=only_missing writes both anew"
            )
        if thumbnails:
            files.write_breakdown(folder, evaluation.breakdown())
        write_traces(folder, context.traces)
        files.write_run(folder, result, rows, encode_replicates(evaluation))
        exported = tuple(export.finish(result.digest))
    return Finished(folder=folder, result=result, reused=False, exported=exported)


def plan_of(config: RunConfig, context: Context) -> Plan:
    """Plan the chosen pipeline, on tiles where that is set; raises as ``make_plan``, or that it cannot be tiled."""
    from benchmark.pipelines.tiled import tiled

    option = config.choices["pipeline"]
    return make_plan(tiled(config.pipeline, config.tiling, option=option), context, option=option)


def planned(config: RunConfig, manifest: Manifest, samples: Sequence[Sample]) -> tuple[Plan, Context]:
    """Plan in a process beside the one that runs; raises as ``plan_of``."""
    context = make_context(config, manifest, samples)
    return plan_of(config, context), context


def put_copy(config: RunConfig, folder: Path) -> None:
    """Put a finished run where ``run.results_copy`` says; raises StoreError."""
    if config.run.results_copy is not None:
        put_run(folder, str(config.run.results_copy))


def _shown_on(progress: Progress) -> Callable[[str, int, int, int], None]:
    """Return what shows the stage at work, and how much of it was stored, behind the bar of the whole run."""
    return lambda stage, done, total, reused: progress.tell(
        f"{stage} {done}/{total}{f', {reused} reused' if reused else ''}"
    )


def make_manifest(config: RunConfig) -> Manifest:
    """Index the data, and check that the protocol reads its masks as they are meant.

    Raises:
        DataError: the folder, a file of it, or all masks cannot be used (``on_error: record``: a file is one row).
    """
    from benchmark.data.dataset import Dataset
    from benchmark.data.ground_truth import check_masks

    if config.run.on_error == "record" and isinstance(config.dataset, Dataset):
        manifest = config.dataset.manifest(config.run.data_root, keep_unreadable=True)
    else:
        manifest = config.dataset.manifest(config.run.data_root)
    notes = check_masks(manifest.test, threshold=config.protocol.mask_threshold)
    return replace(manifest, notes=(*manifest.notes, *notes))


def limited(manifest: Manifest, limit: int | None) -> Sequence[Sample]:
    """Return the test samples, or ``limit`` of them spread evenly over the order."""
    from benchmark.core.samples import evenly

    samples = manifest.test
    if not samples:
        raise DataError(f"dataset {manifest.dataset!r} has no test samples; nothing can be evaluated")
    return samples if limit is None else evenly(samples, limit)


def make_context(config: RunConfig, manifest: Manifest, samples: Sequence[Sample]) -> Context:
    """Put together what a pipeline gets."""
    from benchmark.stages.context import Context

    return Context(
        manifest=manifest,
        samples=samples,
        store=config.run.store_place().open(memory=process_memory),
        seed=config.run.seed,
        device=config.run.device,
        device_index=Shard.parse(config.run.shard).index - 1 if config.run.shard else 0,
        workers=config.run.workers,
        batch_size=None if config.run.batch_size == "auto" else config.run.batch_size,
        refresh=config.run.overwrite == "always",
        on_error=config.run.on_error,
        weights_root=config.run.weights_root,
        prompts_root=config.run.results_root / "prompts",
        most_traces=config.tracking.trace_limit,
    )


def finish_shard(plan: Plan, context: Context, shard: Shard, folder: Path) -> bool:
    """Compute this job's share of the expensive stages; True when all shards have done theirs."""
    from benchmark.running.sharding import mark_done, missing_shards, shard_samples

    mine = shard_samples(plan.samples or context.samples, shard)
    # Category by category: a pipeline with prompts of its own for each has stages that others need not run.
    for category in dict.fromkeys(s.category for s in mine):
        for stage in plan.stages.get(category, ()):
            for _ in context.run(stage, [s for s in mine if s.category == category]):
                pass
    work = "+".join([folder.name, *(stage.fingerprint for stage in plan.distinct)])
    mark_done(folder / "shards", shard, work)
    context.failed.clear()  # what failed is tried once more when images are predicted
    context.refresh = False  # what the other shards have written anew is not to be computed once more
    return not missing_shards(folder / "shards", shard.count, work)


def make_export(config: RunConfig, folder: Path, samples: Sequence[Sample]) -> Export:
    """Prepare what is exported of a run; nothing is written yet."""
    run = config.run
    return Export(folder / EXPORT, run.export, samples, run=folder.name, threshold=run.export_threshold)
