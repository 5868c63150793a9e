"""What a run needs and would do, told before any of it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import BenchmarkError, DryRun
from benchmark.core.text import counted

if TYPE_CHECKING:
    from benchmark.config.schema import RunConfig
    from benchmark.report.papers.availability import Missing


def obstacle(composed: Mapping[str, Any], choices: Mapping[str, str]) -> Missing | None:
    """Return the data, weights and keys that a run lacks, as far as that shows without reading data; None: nothing."""
    from benchmark.report.papers.availability import both, data_missing, pipeline_missing

    return both(data_missing(composed, choices), pipeline_missing(composed, choices))


def _can_plan(config: RunConfig, composed: Mapping[str, Any]) -> bool:
    from benchmark.report.papers.availability import data_missing, weights_missing
    from benchmark.running.forecast import asks

    given = (data_missing(composed, config.choices), weights_missing(config.pipeline, config.run.weights_root))
    return not any(given) and asks(config.pipeline)


def outlook(config: RunConfig, composed: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a run would do, a line each: images, networks, what is stored already, seconds, and what is missing.

    Args:
        config: the typed settings.
        composed: the same settings as plain containers.
    """
    choices = config.choices
    yield f"{choices['dataset']} × {choices['pipeline']}, protocol {choices['protocol']}"
    yield from (f"  {line}" for line in _networks(config))
    missing = obstacle(composed, choices)
    if missing is None or _can_plan(config, composed):
        yield from (f"  {line}" for line in _work(config, composed))
    else:
        yield from (f"  {line}" for line in _costs(config, composed))
    if missing is not None:
        yield from (f"  {phrase}" for phrase in missing.phrase.split("; "))
        if missing.fix:
            yield f"  run: {missing.fix}"


def _networks(config: RunConfig) -> Iterator[str]:
    from benchmark.models.choice import RANDOM
    from benchmark.weights import find, hub
    from benchmark.weights.local import readable_size

    for role, want in config.pipeline.networks().wanted.items():
        if want.weights == RANDOM:
            yield f"{role}: {want.network}, random weights: the results mean nothing"
    for name in config.pipeline.networks().registered():
        if hub.is_name(name):
            yield f"weights {name}: {'here' if hub.is_here(name) else 'to be fetched from the hub'}"
            continue
        absent = [file for file in find(name).files if not file.place(config.run.weights_root).is_file()]
        size = sum(file.size or 0 for file in absent)
        yield f"weights {name}: " + (f"to be fetched, {readable_size(size or None)}" if absent else "here")


def _costs(config: RunConfig, composed: Mapping[str, Any], images: int | None = None) -> Iterator[str]:
    from benchmark.running.forecast import costs

    for what, much, remark in costs(config, composed, images=images):
        yield f"{what}: {much}" + (f" ({remark})" if remark else "")


def _work(config: RunConfig, composed: Mapping[str, Any]) -> Iterator[str]:
    """Index the data and plan, as the run would; both are remembered for it."""
    from benchmark.config.pipeline import predictions
    from benchmark.running.forecast import asks
    from benchmark.running.run import limited, make_context, make_manifest, plan_of

    pipeline = config.pipeline
    if asks(pipeline):
        pipeline = pipeline.model_copy(update={"dry_run": True})
    try:
        manifest = make_manifest(config)
        samples = limited(manifest, config.run.limit)
        context = make_context(config, manifest, samples)
        plan = plan_of(replace(config, pipeline=pipeline), context)
    except BenchmarkError as error:
        yield str(error)
        return
    bad = sum(bool(sample.defective) for sample in samples)
    yield (
        f"{counted(len(samples), 'image')} ({len(samples) - bad} good, {bad} defective) in "
        f"{counted(len(context.categories), 'category', 'categories')}"
    )
    for stage in plan.distinct:
        mine = [s for s in plan.samples or samples if stage in plan.stages.get(s.category, ())]
        contents = {s.sha256: stage.key(s.sha256) for s in mine}
        there = context.store.for_entries_of(stage.expected_bytes).present(stage.name, contents.values())
        stored = sum(contents[s.sha256] in there for s in mine)
        what = counted(f"{stored} of {len(mine)}", "image" if plan.samples is None else "tile")
        yield f"stage {stage.name}: {what} stored already"
    yield from _costs(config, composed, len(samples))
    if asks(pipeline):
        try:
            list(predictions(plan, context))
        except DryRun as told:
            yield str(told).removeprefix("dry run: ")
