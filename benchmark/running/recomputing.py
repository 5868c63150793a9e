"""A submitted result made again: from the maps that were exported, or by the run itself where everything is here."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config.compose import compose
from benchmark.config.schema import build
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.text import counted
from benchmark.results.schema import RunResult, flatten
from benchmark.results.submission import A_FILE, Submission, SubmittedValue
from benchmark.running.checking import Check
from benchmark.running.reference import TOLERANCE
from benchmark.running.submitting import GROUPS, words_of
from benchmark.scoring.metrics.registry import METRICS

MOST = 10_000
"""Largest number that a stranger's setting may have: it says how many images are generated, or how large they are."""
_WORD = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
WHAT = "values made again"
MOST_NAMED = 12
"""Metrics that are named at most."""
EXPORT_OF = {"masks": "masks", "labels": "csv", "image_scores": "csv"}
"""What a metric is made of -> the form of ``run.export`` that holds it; all others need maps."""


def recompute(submission: Submission, *, maps: Path | None, extra: Sequence[str]) -> Iterator[Check]:
    """Make the values of a submission again and compare them; yields one check.

    Args:
        submission: whose content was checked.
        maps: folder of its exported predictions, which are scored; None: the run is carried out, where data and
            weights are here and no service is asked.
        extra: further words of a command line, such as ``run.data_root=…``.

    Raises:
        ConfigError: a further word is no setting of the run.
    """
    try:
        words = _words(submission, maps)
    except BenchmarkError as error:
        yield Check(what=WHAT, state="not verified", told=str(error).splitlines()[0])
        return
    if extra:
        compose([*words, *extra])  # a wrong word is no fault of the submission
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-verify-") as place:
            made = _made_again(words, maps, [*extra, f"run.results_root={place}"])
    except BenchmarkError as error:
        yield Check(what=WHAT, state="not verified", told=str(error).splitlines()[0])
        return
    yield _compared(submission, made, from_maps=maps is not None)


def _made_again(words: Sequence[str], maps: Path | None, extra: Sequence[str]) -> RunResult:
    from benchmark.running.run import execute

    composed, choices = compose([*words, "tracking=none", "run.gallery=0", *extra])
    if maps is None:
        _refuse_what_is_not_here(composed, choices)
    finished = execute(build(composed, choices), composed, command=["verify-submission"], thumbnails=False)
    if finished is None:
        raise ConfigError("run.shard: a shard has no result")
    return finished.result


def _words(submission: Submission, maps: Path | None) -> list[str]:
    """Return the run as words: options of this package, and settings that are numbers and short words.

    Raises:
        ConfigError: a setting that is none of these, or that the options do not have.
    """
    chosen = submission.choices
    if maps is not None:
        chosen = {group: option for group, option in chosen.items() if "pipeline" not in group}
    words = words_of(chosen)
    if maps is not None:
        words += ["pipeline=saved", f"pipeline.path={str(maps.resolve())!r}"]
    known = flatten(compose(words)[0])
    for key, value in submission.settings.items():
        if maps is not None and key.startswith(("pipeline.", "tiling.")):
            continue
        if key not in known or key.partition(".")[0] not in GROUPS or key.endswith("_target_"):
            raise ConfigError(f"the options of this package have no {key}, so that the run cannot be made again")
        words.append(f"{key}={_literal(key, value)}")
    return words


def _literal(key: str, value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(_literal(key, inner) for inner in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float) and abs(value) <= MOST:
        return repr(value)
    if isinstance(value, str) and value != A_FILE and _WORD.fullmatch(value):
        return f"'{value}'"
    what = "a file" if value == A_FILE else repr(value)[:40]
    raise ConfigError(f"{key} is {what}, which is not taken from a stranger; give the exported maps with maps=FOLDER")


def _refuse_what_is_not_here(composed: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Raise ConfigError where data or weights are not here, or a run would ask a service, which costs money."""
    from benchmark.running.dry_run import obstacle

    if _asks(composed["pipeline"]):
        raise ConfigError("its pipeline asks a service or a local language model; the exported maps can be scored")
    missing = obstacle(composed, choices)
    if missing is not None:
        raise ConfigError(missing.phrase + (f"; run: {missing.fix}" if missing.fix else ""))


def _asks(values: Mapping[str, Any]) -> bool:
    inner = [value for value in values.values() if isinstance(value, Mapping)]
    return "access" in values or any(map(_asks, inner))


def _compared(submission: Submission, made: RunResult, *, from_maps: bool) -> Check:
    how = "scored again from its maps" if from_maps else "run again"
    if made.dataset.fingerprint != submission.data.fingerprint:
        told = f"other images or labels: {made.dataset.fingerprint[:12]} here, {submission.data.fingerprint[:12]} there"
        return Check(what=WHAT, state="not verified", told=told)
    ours = {(row.metric, row.category): row.value for row in made.metrics if row.value is not None}
    both = [(row, ours[row.metric, row.category]) for row in submission.values if (row.metric, row.category) in ours]
    missing = [row for row in submission.values if (row.metric, row.category) not in ours]
    apart = [(row, value) for row, value in both if abs(value - row.value) > TOLERANCE]
    processor = " ".join(str(v) for k in ("cpu", "kernels") if (v := made.measured.hardware.get(k)))
    elsewhere = processor != submission.code.processor
    wrong = [(row, value) for row, value in apart if not (elsewhere and _inside(value, row))]
    if wrong or not both:
        row, value = wrong[0] if wrong else (submission.values[0], "none")
        number = counted(f"{len(wrong)} of {len(both)}", "value differs", "values differ")
        told = f"{how}: {number}; {row.metric} of {row.category}: {value} here, "
        return Check(what=WHAT, state="refused", told=f"{told}{row.value} there (tolerance {TOLERANCE})")
    largest = max(abs(value - row.value) for row, value in both)
    within = "inside their intervals, on another processor" if apart else f"tolerance {TOLERANCE}"
    told = f"{how}: {counted(len(both), 'value')}, largest difference {largest:.2g}, {within}"
    if missing:
        return Check(what=WHAT, state="not verified", told=f"{told}; {_not_given(missing, from_maps)}")
    return Check(what=WHAT, state="verified", told=told)


def _not_given(rows: Sequence[SubmittedValue], from_maps: bool) -> str:
    """Name the values that were not found again, and what an export lacks for them."""
    names = list(dict.fromkeys(row.metric for row in rows))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    told = f"{counted(len(rows), 'value')} of {', '.join(names[:MOST_NAMED])}{more} not made again"
    if not from_maps:
        return told
    needs = sorted({EXPORT_OF.get(METRICS[name].source, "maps") for name in names})
    return f"{told}: the export lacks {' and '.join(needs)}; it has all with run.export=[maps,masks,csv]"


def _inside(value: float, row: SubmittedValue) -> bool:
    return row.low is not None and row.high is not None and row.low <= value <= row.high
