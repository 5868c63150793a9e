"""The committed reference results: made anew by one command, compared with by another, and shown in the docs.

They hold numbers and provenance only: no image, no per-image row, no path of the machine that made them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.core.resources import REFERENCE
from benchmark.core.settings import Record
from benchmark.core.text import counted
from benchmark.core.yaml_files import read_yaml
from benchmark.report.tables import interval, number, weights_lines
from benchmark.results import files
from benchmark.results.schema import RunResult
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics.registry import title

TOLERANCE = 2e-3
"""Largest difference of a value on another machine: random features and heads differ there in their last bits."""
SHOWN = ("iou", "max_iou", "ap", "f1_max", "auroc", "f2", "image_auroc")
DEFAULT = "sat-patchcore"
"""The run that comes of no setting."""
SHOWN_OF_DEFAULT = ("image_auroc", "image_f2_max", "auroc", "aupro", "ap", "f1_max", "max_iou")


class ReferenceRun(Record):
    """One entry of ``runs.yaml``."""

    quick: bool
    settings: tuple[str, ...]


def entries(folder: Path = REFERENCE) -> dict[str, ReferenceRun]:
    """Read ``runs.yaml``."""
    read = read_yaml(folder / "runs.yaml")
    return {name: ReferenceRun.model_validate(values) for name, values in read.items()}


def make(entry: ReferenceRun, *, extra: Sequence[str]) -> RunResult:
    """Carry out one reference run; raises as any run does."""
    from benchmark.config.compose import compose
    from benchmark.config.schema import build
    from benchmark.running.run import execute

    words = [*entry.settings, "metric=full", "tracking=none"]
    composed, choices = compose([*words, *extra])
    command = ["python", "-m", "benchmark", *entry.settings, "metric=full"]
    finished = execute(build(composed, choices), composed, command=command)
    if finished is None:
        raise ResultsError("a reference run cannot be made in shards; leave run.shard out")
    return finished.result


def portable(result: RunResult) -> RunResult:
    """Return the result without what tells of the place where it was made."""
    return result.model_copy(update={"measured": result.measured.model_copy(update={"settings": {}})})


def differences(committed: RunResult, made: RunResult, *, tolerance: float = TOLERANCE) -> Iterator[str]:
    """Yield what differs between a committed result and the same run made anew.

    Where another kind of processor made it, whose kernels round otherwise, a value within the committed interval is
    the same result: a learnt head makes more of last bits than ``tolerance``.
    """
    elsewhere = processor(committed) != processor(made)
    if committed.dataset.fingerprint != made.dataset.fingerprint:
        yield f"dataset fingerprint {made.dataset.fingerprint[:12]}, committed {committed.dataset.fingerprint[:12]}"
    if committed.protocol.hash != made.protocol.hash:
        yield "protocol"
    if committed.outcomes != made.outcomes:
        yield f"outcomes {made.outcomes}, committed {committed.outcomes}"
    ours = {(m.metric, m.category): m for m in made.metrics}
    for row in committed.metrics:
        other = ours.get((row.metric, row.category))
        if other is None:
            yield f"{row.metric} of {row.category} is not reported any more"
        elif (row.value is None) != (other.value is None) or not (
            _close(row.value, other.value, tolerance) or (elsewhere and _inside(other.value, row))
        ):
            yield f"{row.metric} of {row.category}: {number(other.value)}, committed {number(row.value)}"


def processor(result: RunResult) -> tuple[object, object]:
    """Return the processor that made a result, and which of its features the kernels used (None: not known)."""
    return result.measured.hardware.get("cpu"), result.measured.hardware.get("kernels")


def _inside(value: float | None, row: MetricRecord) -> bool:
    return value is not None and row.low is not None and row.high is not None and row.low <= value <= row.high


def _close(one: float | None, two: float | None, tolerance: float) -> bool:
    return one is None or two is None or abs(one - two) <= tolerance


def results_table(folder: Path = REFERENCE) -> str:
    """Return the reference results as a Markdown table: the headline value of each metric with its interval."""
    lines = [
        "| dataset | pipeline | images | " + " | ".join(map(title, SHOWN)) + " |",
        "|---|---|---:|" + "---:|" * len(SHOWN),
    ]
    for name in entries(folder):
        if not (folder / name / files.RESULT).exists():
            continue
        result = files.read_result(folder / name)
        cells = " | ".join(_cell(result, metric) for metric in SHOWN)
        data = result.dataset
        whole = data.n_samples_expected in (None, data.n_samples_original)
        images = f"{data.n_samples_effective}" + ("" if whole else f" of {data.n_samples_expected}")
        lines.append(f"| {_dataset(result)} | {_pipeline(result)} | {images} | {cells} |")
    return "\n".join(lines)


def _dataset(result: RunResult) -> str:
    """The option, and the split where it is not the option's own, which is another set of images."""
    option = result.choices["dataset"]
    split = result.config["dataset"].get("split")
    changed = any(word.startswith("dataset.split=") for word in result.measured.command)
    return f"`{option}`" + (f", {split}" if split and changed else "")


def _pipeline(result: RunResult) -> str:
    config = result.config["pipeline"]
    network = result.choices.get("backbone@pipeline.backbone", "")
    random = bool(network) and config["backbone"]["weights"] == "random"
    variant = config.get("policy", "").replace("_", " ") or ("random features" if random else network)
    return f"`{result.choices['pipeline']}`" + (f", {variant}" if variant else "")


def _cell(result: RunResult, metric: str) -> str:
    row = result.headline().get(metric)
    return "–" if row is None or row.value is None else f"{number(row.value, 3)} {interval(row)}".strip()


def default_table(folder: Path = REFERENCE) -> str:
    """Return what the default run prints, as a Markdown table, and below it what made the numbers."""
    result = files.read_result(folder / DEFAULT)
    rows = result.headline()
    data = result.dataset
    lines = [
        f"| `{result.choices['dataset']}` × `{result.choices['pipeline']}` | value | 95 % interval |",
        "|---|---:|---|",
    ]
    lines += [f"| {name} | {number(rows[name].value, 3)} | {interval(rows[name])} |" for name in SHOWN_OF_DEFAULT]
    images = f"{counted(data.n_samples_effective, 'image')}, {data.n_defective} of them defective"
    best = ", ".join(name for name in SHOWN_OF_DEFAULT if title(name) != name)
    oracle = f"Oracle, at the best threshold for these very images: {best}."
    return "\n".join([*lines, "", f"Of {images}; {'; '.join(weights_lines(result))}. {oracle}"])


TABLES = {"bench": default_table, "results": results_table}
"""Tables of README.md and docs/, by the name of their markers."""


def carry_out(name: str, entry: ReferenceRun, *, check: bool, extra: Sequence[str]) -> bool:
    """Make one reference run, and write or (``check``) compare it; prints what differs, True where anything does."""
    try:
        made = portable(make(entry, extra=extra))
    except BenchmarkError as error:
        print(f"{name}: not made: {str(error).splitlines()[0]}", file=sys.stderr)
        return True
    if not check:
        files.write_atomically(REFERENCE / name / files.RESULT, made.model_dump_json(indent=1).encode() + b"\n")
        print(f"{name}: written, digest {made.digest[:12]}")
        return False
    committed = files.read_result(REFERENCE / name)
    found: list[Any] = list(differences(committed, made))
    same = "same digest" if committed.digest == made.digest else f"within {TOLERANCE}"
    if same != "same digest" and any(differences(committed, made.model_copy(update={"measured": committed.measured}))):
        same = "another processor, within the intervals"
    print(f"{name}: " + ("; ".join(found) if found else f"as committed ({same})"))
    return bool(found)
