"""One run: dataset × pipeline × protocol → RunResult, its per-image rows, and its tracking entry."""

from __future__ import annotations

import copy
import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.moved import recorded, recorded_choices
from benchmark.config.pipeline import Pipeline, Plan, make_plan
from benchmark.config.schema import RunConfig
from benchmark.core import provenance
from benchmark.core.errors import DataError, ResultsError, TrackingError
from benchmark.core.lazy import Lazy
from benchmark.core.progress import Progress
from benchmark.core.secrets import redact, redact_values
from benchmark.core.settings import file_settings
from benchmark.core.text import each_text, encodable
from benchmark.results import files
from benchmark.results.export import Export
from benchmark.results.export_index import EXPORT, is_exported
from benchmark.results.finished import Finished
from benchmark.results.gallery import Gallery, choose
from benchmark.results.replicates import encode_replicates
from benchmark.results.schema import (
    BaselineRecord,
    DatasetRecord,
    Measured,
    ProtocolRecord,
    RunResult,
    StageRecord,
    WeightsRecord,
    data_label,
    plain,
)
from benchmark.results.traces import write_traces
from benchmark.running.evaluating import Keepers, evaluate
from benchmark.running.inside import interest_of
from benchmark.running.names import identify, protocol_name
from benchmark.running.sharding import Shard
from benchmark.weights.digests import file_digests, folder_digest

if TYPE_CHECKING:
    from benchmark.core.samples import Manifest, Sample
    from benchmark.scoring.evaluation import Evaluation
    from benchmark.scoring.protocol import Protocol
    from benchmark.stages.context import Context

NOT_IN_RESULT = (
    frozenset({"data_root", "results_root", "results_copy", "weights_root"})
    | frozenset({"cache_root", "cache_gb", "cache_local", "cache_remote_mb"})
    | frozenset(
        {
            "device",
            "workers",
            "batch_size",
            "shard",
            "engine",
            "ray",
            "overwrite",
            "objective",
            "gallery",
            "export",
            "export_threshold",
        }
    )
)
"""Run settings that do not change the result."""


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
    runs = config.run.results_root / "runs"
    files.ensure_writable(runs)
    config.run.tell_cache()
    start = time.monotonic()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = make_manifest(config)
    settings = identity(config, composed, manifest.dataset)
    run_id = identify(config, settings, manifest)
    folder = runs / run_id
    told = how_called(composed, command)
    kept = None
    if config.run.overwrite == "never" and (folder / files.RESULT).exists():
        kept = files.read_result(folder)
        if is_exported(folder / EXPORT, config.run.export, kept.digest):
            put_copy(config, folder)
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
        progress.tell("tracking")
        track = track or functools.partial(config.tracking.log, results_root=config.run.results_root)
        try:
            tracking_id, tracking_error = track(folder), None
        except TrackingError as error:
            tracking_id, tracking_error = None, str(error)
        put_copy(config, folder)
    return Finished(
        folder=folder,
        result=result,
        reused=False,
        tracking_id=tracking_id,
        tracking_error=tracking_error,
        exported=exported,
    )


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
        from benchmark.results.at_address import put_run

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


def identity(config: RunConfig, composed: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Return the settings that make the result what it is, with what the files say that they name.

    Paths, device and workers stay out, and of the pipeline what changes no prediction.

    Args:
        config: the typed settings.
        composed: the same settings as plain containers.
        dataset: name of the data set.
    """
    kept = {group: copy.deepcopy(dict(composed[group])) for group in ("dataset", "pipeline", "protocol", "metric")}
    for key in config.pipeline.not_in_result():
        *parents, last = key.split(".")
        functools.reduce(lambda place, name: place[name], parents, kept["pipeline"]).pop(last, None)
    for key in ("path", "root", "columns", "bits", "exif_orientation", "masks"):
        kept["dataset"].pop(key, None)  # the manifest's fingerprint stands for the place, and for how files are read
    places = {key: kept["dataset"].pop(key, None) for key in ("roi", "roi_resize")}
    if (interest := interest_of(config.dataset)) is not None:
        masks = {name: None if path is None else file_digests(path)[0] for name, path in interest.files.items()}
        kept["dataset"] |= places | {"roi": masks}
    kept["run"] = {k: v for k, v in composed["run"].items() if k not in NOT_IN_RESULT}
    if config.tiling.size is not None:
        kept["tiling"] = config.tiling.model_dump()
    return dict(redact_values(plain(recorded(kept)))) | read_files(config.pipeline, dataset)


def options_of(config: RunConfig) -> dict[str, str]:
    """Return group to option for the result: those of parts of the pipeline that change no prediction stay out."""
    idle = {f"pipeline.{key}" for key in config.pipeline.not_in_result()}
    chosen = recorded_choices(config.choices)
    return {group: option for group, option in chosen.items() if group.partition("@")[2] not in idle}


def read_files(pipeline: Pipeline, dataset: str) -> dict[str, dict[str, str]]:
    """Return ``{"files": {dotted key: SHA-256}}`` of the files that a pipeline's settings name, {} if none.

    What such a file says is part of the run: a prompt table that was edited, or another reference image under the
    same name, makes another result. A setting names a file by its type (``FilePath``), or the pipeline finds one by
    it (``Pipeline.reads``). One that is not there is left to the pipeline, which says what it is for.

    Args:
        pipeline: the settings.
        dataset: name of the data set.
    """
    apart = tuple(f"{key}." for key in pipeline.not_in_result())
    given = [(key, path) for key, path in file_settings(pipeline) if not f"{key}.".startswith(apart)]
    found = {**{key: path for key, path in given if path and path.is_file()}, **pipeline.reads(dataset)}
    digests = {
        f"pipeline.{key}": folder_digest(path) if path.is_dir() else file_digests(path)[0]
        for key, path in found.items()
    }
    return {"files": digests} if digests else {}


def limited(manifest: Manifest, limit: int | None) -> Sequence[Sample]:
    """Return the test samples, or ``limit`` of them spread evenly over the order."""
    from benchmark.core.samples import evenly

    samples = manifest.test
    if not samples:
        raise DataError(f"dataset {manifest.dataset!r} has no test samples; nothing can be evaluated")
    return samples if limit is None else evenly(samples, limit)


def make_context(config: RunConfig, manifest: Manifest, samples: Sequence[Sample]) -> Context:
    """Put together what a pipeline gets."""
    from benchmark.core.memory import process_memory
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


def assemble(
    config: RunConfig,
    settings: Mapping[str, Any],
    plan: Plan,
    context: Context,
    evaluation: Evaluation,
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str,
) -> dict[str, Any]:
    """Collect the deterministic part of the result."""
    from benchmark.pipelines.constant import baseline_rows

    manifest, samples = context.manifest, context.samples
    choices = options_of(config)
    labels = [bool(s.defective) for s in samples]
    scored = _scored_labels(rows, config.protocol)
    weights = [WeightsRecord(**asdict(w)) for w in context.weights.values()]
    return {
        "id": run_id,
        "config": dict(settings),
        "choices": choices,
        "dataset": DatasetRecord(
            name=manifest.dataset,
            fingerprint=manifest.fingerprint,
            n_samples_expected=manifest.expected_test,
            n_samples_original=len(manifest.test),
            n_samples_effective=len(samples),
            n_good=labels.count(False),
            n_defective=labels.count(True),
            categories=list(dict.fromkeys(s.category for s in samples)),
            notes=[*manifest.notes, *context.notes],
        ),
        "protocol": ProtocolRecord(
            name=protocol_name(choices["protocol"], config.protocol),
            hash=config.protocol.hash,
            settings=plain(config.protocol.model_dump()),
        ),
        "stages": [StageRecord(name=s.name, version=s.version, fingerprint=s.fingerprint) for s in plan.distinct],
        "weights": weights,
        "outcomes": dict(sorted(Counter(str(r["outcome"]) for r in rows).items())),
        "metrics": evaluation.report(),
        "baselines": [BaselineRecord(policy=r["policy"], values=r["values"]) for r in baseline_rows(scored)],
        "tables": config.pipeline.tables(rows),
        "rows_sha256": files.rows_digest(rows),
        "meaningless": any(w.random for w in weights),
    }


def _scored_labels(rows: Sequence[Mapping[str, Any]], protocol: Protocol) -> list[bool]:
    """Return the labels that image-level metrics are computed over: the protocol's, without what it leaves out."""
    return [bool(r["defective"]) for r in rows if r["outcome"] == "ok" or protocol.failures != "exclude"]


def how_called(composed: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """Return the command line, and the settings that change no result, as JSON values without keys and passwords."""
    run = {k: v for k, v in composed["run"].items() if k in NOT_IN_RESULT}
    place = {"dataset.path": composed["dataset"].get("path"), "tracking": composed["tracking"]}
    return {"settings": redact_values(plain({**run, **place})), "command": [redact(word) for word in command]}


def measure(context: Context, *, started: str, seconds: float, told: Mapping[str, Any]) -> Measured:
    """Collect what differs from run to run; ``told`` is that of ``how_called``."""
    commit, dirty = provenance.git_state()
    return Measured(
        started=started,
        seconds=round(seconds, 3),
        seconds_per_stage={name: round(s.seconds, 3) for name, s in sorted(context.stats.items())},
        samples_computed={name: s.computed for name, s in sorted(context.stats.items())},
        samples_reused={name: s.reused for name, s in sorted(context.stats.items())},
        seconds_waiting={name: round(s.waiting, 3) for name, s in sorted(context.stats.items())},
        seconds_storing={name: round(s.storing, 3) for name, s in sorted(context.stats.items())},
        images_at_once={name: s.images_at_once for name, s in sorted(context.stats.items()) if s.images_at_once},
        counters=dict(sorted(context.counters.items())),
        peak_memory_mb=provenance.peak_memory_mb(),
        gpu_memory_mb=provenance.gpu_memory_mb(),
        git_commit=commit,
        git_dirty=dirty,
        python=sys.version.split()[0],
        platform=sys.platform,
        hardware=provenance.hardware(),
        packages=provenance.packages(),
        **told,
    )
