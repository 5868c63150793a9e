"""Two runs, or a run and a published method, set against each other: differences, intervals, and whether it is fair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.core.errors import ResultsError, near_matches
from benchmark.core.text import counted
from benchmark.report.papers.fairness import OTHER_NAME, own_metric, protocols_differ, unfair, unfair_protocol
from benchmark.report.papers.published import find, published
from benchmark.report.papers.published_row import PublishedRow
from benchmark.report.papers.significance import Pair, holm, interval_of_difference, p_values, pair, paired_interval
from benchmark.results import files
from benchmark.results.replicates import read_replicates
from benchmark.results.schema import RunResult, flatten
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics.intervals import Interval

__all__ = ["Comparison", "Line", "compare_published", "compare_runs", "paired_interval", "published_method"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One metric of one category in a comparison."""

    metric: str
    category: str
    first: float | None
    second: float | None
    low: float | None = None
    high: float | None = None
    """Interval of ``first - second``; None where the images cannot be paired, or are too few."""
    p: float | None = None
    """Of the image-swap permutation test of this line alone."""
    p_holm: float | None = None
    """The same, corrected for every line of the comparison."""
    level: float = 0.05
    n: int = 0
    remark: str = ""

    @property
    def difference(self) -> float | None:
        """``first - second``; None where one of them is undefined."""
        return None if self.first is None or self.second is None else self.first - self.second

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is at most the level."""
        return self.p_holm is not None and self.p_holm <= self.level


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a comparison says."""

    first: str
    second: str
    lines: tuple[Line, ...]
    fair: bool
    """Same images, same protocol, no random weights."""
    notes: tuple[str, ...]


def compare_runs(first: Path, second: Path, *, force: bool = False) -> Comparison:
    """Compare two runs category by category, with paired intervals where they saw the same images.

    Args:
        first: folder of a run.
        second: folder of another; differences are first less second.
        force: compare what is not comparable, and say so, in place of refusing.

    Raises:
        ResultsError: the runs are of different data or protocols and ``force`` is not given.
    """
    a, b = files.read_result(first), files.read_result(second)
    problems = list(_differences(a, b, first, second))
    if problems and not force:
        raise ResultsError(
            f"{a.id} and {b.id} cannot be compared: {'; '.join(problems)}. ARGS=force compares them anyway"
        )
    unpaired = problems or list(_unpairable(a, b))
    names = _names(a, b)
    notes = [f"{n}: {r.id}" for n, r in zip(names, (a, b), strict=True)] + list(_settings_apart(a, b, names))
    protocol, data = f"{a.protocol.name} {a.protocol.hash[:8]}", f"{a.dataset.name} {a.dataset.fingerprint[:8]}"
    notes += [f"not comparable: {p}" for p in problems] or [
        f"same protocol ({protocol}), same data ({data})",
        *(f"no interval: {p}" for p in unpaired),
    ]
    notes += [
        f"{name}: {n} of {counted(r.dataset.n_samples_effective, 'image')} {outcome}, counted as the protocol says"
        for name, r in zip(names, (a, b), strict=True)
        for outcome, n in r.outcomes.items()
        if outcome != "ok"
    ]
    notes += [f"{r.id}: random weights, its numbers mean nothing" for r in (a, b) if r.meaningless]
    lines = tuple(_line(row, other) for row, other in _shared(a, b))
    if not unpaired:
        both = pair(a, b, read_replicates(first), read_replicates(second))
        lines = _tested(lines, both)
        notes += _how_tested(lines, both)
    if not lines:
        raise ResultsError(f"{a.id} and {b.id} have no metric in common; run both with the same metric=…")
    return Comparison(
        first=names[0],
        second=names[1],
        lines=lines,
        fair=not problems and not a.meaningless and not b.meaningless,
        notes=tuple(notes),
    )


def compare_published(folder: Path, name: str, *, force: bool = False) -> Comparison:
    """Compare a run with a published method, given as ``paper:method``.

    Every line says what speaks against it; the difference has the run's own interval shifted by the printed value, as
    nothing is known of the other side's images.

    Args:
        folder: of the run.
        name: the published method.
        force: compare where each number was published under another protocol than the run's, in place of refusing.

    Raises:
        ResultsError: no such paper or method, no number of it fits the run, or none is of the run's protocol and
            ``force`` is not given.
    """
    result = files.read_result(folder)
    rows = published_method(name)
    found = list(_published_lines(result, rows))
    lines = tuple(line for line, _ in found)
    if not lines:
        raise ResultsError(_nothing_shared(result, name, rows))
    shared = [row for row in rows if own_metric(result, row) is not None]
    if not force and all(protocols_differ(result, row) for row in shared):
        reasons = "; ".join(dict.fromkeys(reason for row in shared for reason in unfair_protocol(result, row)))
        raise ResultsError(f"{result.id} and {name} cannot be compared: {reasons}. ARGS=force compares them anyway")
    notes = ["intervals: of the run alone; the published value is taken as exact"]
    return Comparison(
        first=result.id, second=name, lines=lines, fair=all(fair for _, fair in found), notes=tuple(notes)
    )


def _nothing_shared(result: RunResult, name: str, rows: Sequence[PublishedRow]) -> str:
    """Say what keeps a run and a published method apart: the dataset, or only metrics and categories."""
    data = result.dataset.name
    theirs = [row for row in rows if row.dataset == OTHER_NAME.get(data, data)]
    if not theirs:
        return f"{name} has no number for dataset {data}; it has: {', '.join(sorted({r.dataset for r in rows}))}"
    cells = ", ".join(sorted({f"{row.metric} of {row.category}" for row in theirs}))
    ours = ", ".join(dict.fromkeys(row.metric for row in result.metrics))
    return (
        f"{name} and {result.id} have no metric and category of {data} in common; published: {cells}; the run has: "
        f"{ours}. Another metric=… reports more"
    )


def published_method(name: str) -> list[PublishedRow]:
    """Return the rows of ``paper:method``; raises ResultsError with near names."""
    paper, _, method = name.partition(":")
    papers = sorted({r.paper for r in published()})
    if paper not in papers:
        raise ResultsError(f"no paper {paper!r} in baselines; {near_matches(paper, papers)}")
    rows = find(paper=paper, method=method)
    if not rows:
        known = sorted({r.method for r in find(paper=paper)})
        raise ResultsError(f"no method {method!r} of {paper} in baselines; {near_matches(method, known)}")
    return rows


def _differences(a: RunResult, b: RunResult, first: Path, second: Path) -> Iterator[str]:
    """What makes two runs incomparable."""
    if a.protocol.hash != b.protocol.hash:
        changed = [k for k, v in a.protocol.settings.items() if b.protocol.settings.get(k) != v]
        yield f"protocols differ ({a.protocol.name}, {b.protocol.name}: {', '.join(changed)})"
    if a.dataset.fingerprint != b.dataset.fingerprint:
        data = ", ".join(f"{r.dataset.name} {r.dataset.fingerprint[:8]}" for r in (a, b))
        yield f"datasets differ ({data})"
    elif set(files.read_rows(first, ["id"])["id"]) != set(files.read_rows(second, ["id"])["id"]):
        yield f"images differ ({a.dataset.n_samples_effective} and {b.dataset.n_samples_effective} of the same dataset)"


def _unpairable(a: RunResult, b: RunResult) -> Iterator[str]:
    """What keeps resamples of comparable runs from being paired."""
    seeds = [r.config.get("run", {}).get("seed") for r in (a, b)]
    if seeds[0] != seeds[1]:
        yield f"run.seed is {seeds[0]} and {seeds[1]}, so the resamples are not the same; run both with one seed"
    if not a.protocol.settings.get("resamples"):
        yield "the protocol draws no resamples (protocol.resamples=0)"


def _shared(a: RunResult, b: RunResult) -> Iterator[tuple[MetricRecord, MetricRecord]]:
    """Rows that both have; with one category its row and the pooled one repeat the mean and are left out."""
    others = {(r.metric, r.category): r for r in b.metrics}
    single = len(a.dataset.categories) == len(b.dataset.categories) == 1
    for row in a.metrics:
        if single and row.category != "mean":
            continue
        if (row.metric, row.category) in others:
            yield row, others[row.metric, row.category]


def _how_tested(lines: Sequence[Line], both: Pair) -> Iterator[str]:
    tested = [line for line in lines if line.p is not None]
    yield f"intervals: paired resamples of images, {both.confidence:.0%}, of single rows"
    if tested:
        yield (
            "p: swaps the two runs' answers on random images; p (Holm): corrected for the "
            f"{counted(len(tested), 'row')} of this table; * p (Holm) at most {1.0 - both.confidence:.2g}; "
            f"p holds its level with "
            "few images, where an interval can leave 0 out by chance"
        )
    elif not both.one.parts or not both.two.parts:
        yield "no p-values: a run of an older version kept no images to swap; run it again with run.overwrite=always"


def _tested(lines: Sequence[Line], both: Pair) -> tuple[Line, ...]:
    """Give lines their intervals and p-values."""
    raw = {key: p for key, p in p_values(both).items() if key in {(line.metric, line.category) for line in lines}}
    corrected = holm(raw)
    found = []
    for line in lines:
        key = (line.metric, line.category)
        ends = interval_of_difference(both, key) if key in both.rows else Interval(None, None)
        remark = "; ".join(filter(None, [line.remark, ends.reason]))
        found.append(
            replace(
                line,
                low=ends.low,
                high=ends.high,
                p=raw.get(key),
                p_holm=corrected.get(key),
                level=1.0 - both.confidence,
                remark=remark,
            )
        )
    return tuple(found)


def _line(row: MetricRecord, other: MetricRecord) -> Line:
    remark = "; ".join(dict.fromkeys(r for r in (row.reason, other.reason) if r))
    return Line(metric=row.metric, category=row.category, first=row.value, second=other.value, n=row.n, remark=remark)


def _published_lines(result: RunResult, rows: Sequence[PublishedRow]) -> Iterator[tuple[Line, bool]]:
    """Lines, each with whether nothing speaks against it; that a value was computed from printed ones does not."""
    for row in rows:
        own, theirs = own_metric(result, row), row.fraction
        if own is None or theirs is None:
            continue
        low, high = (None if v is None else v - theirs for v in (own.low, own.high))
        reasons = list(unfair(result, row))
        derived = [f"the published value is derived: {row.note}"] if row.flag == "derived" else []
        line = Line(
            metric=own.metric, category=own.category, first=own.value, second=theirs, low=low, high=high, n=own.n,
            remark="; ".join([*reasons, *derived]),
        )  # fmt: skip
        yield line, not reasons


def _names(a: RunResult, b: RunResult) -> tuple[str, str]:
    """Column heads: the pipelines where they differ, else A and B."""
    first, second = a.choices["pipeline"], b.choices["pipeline"]
    return (first, second) if first != second else ("A", "B")


def _settings_apart(a: RunResult, b: RunResult, names: tuple[str, str]) -> Iterator[str]:
    """Settings of the pipeline in which two runs of one pipeline differ."""
    if a.choices["pipeline"] != b.choices["pipeline"]:
        return
    one, two = (flatten(r.config.get("pipeline", {})) for r in (a, b))
    for key in sorted(one.keys() | two.keys()):
        if one.get(key) != two.get(key):
            yield f"pipeline.{key}: {one.get(key)} in {names[0]}, {two.get(key)} in {names[1]}"
