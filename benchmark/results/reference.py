"""The committed reference results: made anew by one command, compared with by another, and shown in the README.

They hold numbers and provenance only: no image, no per-image row, no path of the machine that made them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError, ConfigError, ResultsError
from benchmark.resources import REFERENCE
from benchmark.results import files
from benchmark.results.schema import Record, RunResult
from benchmark.results.tables import interval, number

TOLERANCE = 2e-3
"""Largest difference of a value on another machine: random features and heads differ there in their last bits."""
SHOWN = ("iou", "max_iou", "ap", "f1_max", "f2", "image_auroc")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


class ReferenceRun(Record):
    """One entry of ``runs.yaml``."""

    quick: bool
    settings: tuple[str, ...]


def entries(folder: Path = REFERENCE) -> dict[str, ReferenceRun]:
    """Read ``runs.yaml``."""
    import yaml

    read = yaml.safe_load((folder / "runs.yaml").read_text(encoding="utf-8"))
    return {name: ReferenceRun.model_validate(values) for name, values in read.items()}


def make(entry: ReferenceRun, *, extra: Sequence[str]) -> RunResult:
    """Carry out one reference run; raises as any run does."""
    from benchmark.compose import compose
    from benchmark.config import build
    from benchmark.run import execute

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
    """Yield what differs between a committed result and the same run made anew."""
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
        elif (row.value is None) != (other.value is None) or not _close(row.value, other.value, tolerance):
            yield f"{row.metric} of {row.category}: {number(other.value)}, committed {number(row.value)}"


def _close(one: float | None, two: float | None, tolerance: float) -> bool:
    return one is None or two is None or abs(one - two) <= tolerance


def results_table(folder: Path = REFERENCE) -> str:
    """Return the reference results as a Markdown table: the headline value of each metric with its interval."""
    lines = [
        "| dataset | pipeline | images | " + " | ".join(SHOWN) + " |",
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
        lines.append(f"| `{result.choices['dataset']}` | {_pipeline(result)} | {images} | {cells} |")
    return "\n".join(lines)


def _pipeline(result: RunResult) -> str:
    config = result.config["pipeline"]
    said = config.get("policy") or ("random features" if config.get("weights") == "none" else "")
    return f"`{result.choices['pipeline']}`" + (f", {str(said).replace('_', ' ')}" if said else "")


def _cell(result: RunResult, metric: str) -> str:
    row = result.headline().get(metric)
    return "–" if row is None or row.value is None else f"{number(row.value, 3)} {interval(row)}".strip()


def update_readme(path: Path, *, write: bool) -> bool:
    """Put the table between its markers; returns whether the file differed. Without markers nothing is done."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text:
        return False
    head, _, rest = text.partition(BEGIN)
    if END not in rest:
        raise ConfigError(f"{path}: {BEGIN} has no {END} behind it; add it to the file")
    new = f"{head}{BEGIN}\n{results_table()}\n{END}{rest.partition(END)[2]}"
    if write and new != text:
        path.write_text(new, encoding="utf-8")
    return new != text


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
    print(f"{name}: " + ("; ".join(found) if found else f"as committed ({same})"))
    return bool(found)
