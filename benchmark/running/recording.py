"""What a run's result records: its settings, what follows from them, and what was measured on the way."""

from __future__ import annotations

import copy
import functools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.config.moved import recorded, recorded_choices
from benchmark.config.pipeline import Pipeline, Plan
from benchmark.config.schema import RunConfig
from benchmark.core import provenance
from benchmark.core.secrets import redact, redact_values
from benchmark.core.settings import file_settings
from benchmark.results import files
from benchmark.results.schema import (
    DatasetRecord,
    Measured,
    ProtocolRecord,
    StageRecord,
    plain,
)
from benchmark.running.inside import interest_of
from benchmark.running.names import protocol_name
from benchmark.weights.digests import file_digests, folder_digest

if TYPE_CHECKING:
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
        "weights": list(context.weights.values()),
        "outcomes": dict(sorted(Counter(str(r["outcome"]) for r in rows).items())),
        "metrics": evaluation.report(),
        "baselines": baseline_rows(scored),
        "tables": config.pipeline.tables(rows),
        "rows_sha256": files.rows_digest(rows),
        "meaningless": any(w.random for w in context.weights.values()),
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
        samples_reused={name: s.there_before for name, s in sorted(context.stats.items())},
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
