"""What earlier versions called otherwise: modules with classes of options, and options.

Who uses the old name is told the new one. A result goes on using the old one: neither the config that a run is named by
nor its digest may change because something got another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOVED: dict[str, str] = {
    "benchmark.metrics.selection": "benchmark.scoring.metrics.selection",
    "benchmark.pipelines.iap_as": "benchmark.pipelines.iap.pipeline",
    "benchmark.pipelines.saa": "benchmark.pipelines.saa.pipeline",
    "benchmark.pipelines.vlm": "benchmark.pipelines.vlm.pipeline",
    "benchmark.prompters.cached": "benchmark.pipelines.iap.prompters.cached",
    "benchmark.prompters.google_genai": "benchmark.pipelines.iap.prompters.google_genai",
    "benchmark.prompters.hf_local": "benchmark.pipelines.iap.prompters.hf_local",
    "benchmark.prompters.openai_compatible": "benchmark.pipelines.iap.prompters.openai_compatible",
    "benchmark.prompters.static": "benchmark.pipelines.iap.prompters.static",
    "benchmark.protocol": "benchmark.scoring.protocol",
    "benchmark.sweep": "benchmark.running.sweep",
    "benchmark.taggers.cached": "benchmark.pipelines.iap.taggers.cached",
    "benchmark.taggers.category_name": "benchmark.pipelines.iap.taggers.category_name",
    "benchmark.taggers.clip_vocab": "benchmark.pipelines.iap.taggers.clip_vocab",
    "benchmark.taggers.ram": "benchmark.pipelines.iap.taggers.ram",
}
"""Old module to new."""
OPTIONS: dict[tuple[str, str], str] = {
    ("metric", "mission"): "default",
}
"""(Group, old option) to the option's new name."""
REPLACED: dict[tuple[str, str], str] = {
    ("dataset", "btad_iap_as"): "dataset=btad dataset.include_good=false, or experiment=iap_as_btad",
    ("dataset", "dagm_iap_as"): "dataset=dagm dataset.split=all dataset.include_good=false, or experiment=iap_as_dagm",
    ("dataset", "dtd_synthetic_iap_as"): (
        "dataset=dtd_synthetic dataset.include_good=false, or experiment=iap_as_dtd_synthetic"
    ),
    ("dataset", "ksdd2_anomalyvlm"): "dataset=ksdd2 dataset.split=train, or experiment=anomalyvlm_ksdd2",
    ("dataset", "mpdd_iap_as"): "dataset=mpdd dataset.include_good=false, or experiment=iap_as_mpdd",
    ("dataset", "mvtec_domain_gap"): (
        "dataset=mvtec dataset.categories=[carpet,grid,leather,tile,wood] dataset.split=holdout20, "
        "or experiment=domain_gap_table1"
    ),
}
"""(Group, old option) to the words that say the same now."""
GONE: dict[tuple[str, str], str] = {
    ("hydra/launcher", name): "run.engine=ray, which shares out the images of each run; the points of a sweep go side "
    "by side with hydra/launcher=local_jobs, local_submitit or slurm"
    for name in ("ray", "ray_local", "ray_aws")
}
"""(Group, option that went) to what does its work now."""


IN_RESULTS = frozenset({"dataset", "pipeline", "protocol", "metric"})
"""Groups whose choice is part of a result."""


def new_place(target: str) -> str | None:
    """Return the class path that an old ``_target_`` has now; None where it names no place that was left."""
    module, _, name = target.rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else None


def new_words(group: str, option: str) -> str | None:
    """Return what an old option is called now; None where it is no old one."""
    if (group, option) in OPTIONS:
        return f"{group}={OPTIONS[group, option]}"
    return REPLACED.get((group, option)) or GONE.get((group, option))


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings (plain containers) with every ``_target_`` under the name that results have for it."""
    return {
        key: recorded(value) if isinstance(value, Mapping) else _old_place(value) if key == "_target_" else value
        for key, value in values.items()
    }


def _old_place(target: str) -> str:
    module, _, name = target.rpartition(".")
    old = next((old for old, new in MOVED.items() if new == module), module)
    return f"{old}.{name}"


def recorded_choices(choices: Mapping[str, str]) -> dict[str, str]:
    """Return group to chosen option, sorted, with every option under the name that results have for it.

    Groups that change no result are left out (tracking, sweep, experiment), so that one run has one digest.
    """
    old = {(group, new): old for (group, old), new in OPTIONS.items()}
    chosen = sorted((group, option) for group, option in choices.items() if _changes_results(group))
    return {group: old.get((group, option), option) for group, option in chosen}


def _changes_results(group: str) -> bool:
    """Whether a group is one of ``IN_RESULTS``, or belongs into an option of one (``backbone@pipeline.backbone``)."""
    name, _, place = group.partition("@")
    return (place.partition(".")[0] or name) in IN_RESULTS
