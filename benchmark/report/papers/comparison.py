"""Two runs, or a run and a published method, set against each other: differences, intervals, and whether it is fair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ResultsError, near_matches
from benchmark.report.papers.fairness import own_metric, unfair
from benchmark.report.papers.published import find, published
from benchmark.report.papers.published_row import PublishedRow
from benchmark.results import files
from benchmark.results.replicates import read_replicates
from benchmark.results.schema import RunResult, flatten
from benchmark.scoring.metric_record import MetricRecord

Table = Mapping[tuple[str, str], NDArray[np.float64]]
Replicates = tuple[Table, Table]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One metric of one category in a comparison."""

    metric: str
    category: str
    first: float | None
    second: float | None
    low: float | None = None
    high: float | None = None
    """Interval of ``first - second``; None where the images cannot be paired."""
    n: int = 0
    remark: str = ""

    @property
    def difference(self) -> float | None:
        """``first - second``; None where one of them is undefined."""
        return None if self.first is None or self.second is None else self.first - self.second

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


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
    paired = None if unpaired else (read_replicates(first).replicates, read_replicates(second).replicates)
    names = _names(a, b)
    notes = [f"{n}: {r.id}" for n, r in zip(names, (a, b), strict=True)] + list(_settings_apart(a, b, names))
    protocol, data = f"{a.protocol.name} {a.protocol.hash[:8]}", f"{a.dataset.name} {a.dataset.fingerprint[:8]}"
    notes += [f"not comparable: {p}" for p in problems] or [
        f"same protocol ({protocol}), same data ({data})",
        *(f"no interval: {p}" for p in unpaired),
    ]
    notes += [f"{r.id}: random weights, its numbers mean nothing" for r in (a, b) if r.meaningless]
    confidence = float(a.protocol.settings.get("confidence", 0.95))
    if not unpaired:
        notes.append(
            f"intervals: paired bootstrap over images, {confidence:.0%}; * the interval leaves out 0 "
            f"(single rows, not corrected for {len(a.metrics)} of them)"
        )
    lines = tuple(_line(row, other, paired, confidence) for row, other in _shared(a, b))
    if not lines:
        raise ResultsError(f"{a.id} and {b.id} have no metric in common; run both with the same metric=…")
    return Comparison(
        first=names[0],
        second=names[1],
        lines=lines,
        fair=not problems and not a.meaningless and not b.meaningless,
        notes=tuple(notes),
    )


def compare_published(folder: Path, name: str) -> Comparison:
    """Compare a run with a published method, given as ``paper:method``.

    Every line says whether the run's protocol is the nearest to the published one; the difference has the
    run's own interval shifted by the printed value, as nothing is known of the other side's images.

    Raises:
        ResultsError: no such paper or method, or no number of it fits the run.
    """
    result = files.read_result(folder)
    rows = published_method(name)
    found = list(_published_lines(result, rows))
    lines = tuple(line for line, _ in found)
    if not lines:
        datasets = ", ".join(sorted({r.dataset for r in rows}))
        raise ResultsError(
            f"{name} has no number for dataset {result.dataset.name} that {result.id} reports; it has: {datasets}"
        )
    notes = ["intervals: of the run alone; the published value is taken as exact"]
    return Comparison(
        first=result.id, second=name, lines=lines, fair=all(fair for _, fair in found), notes=tuple(notes)
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


def paired_interval(
    first: NDArray[np.float64], second: NDArray[np.float64], *, confidence: float, n: int
) -> tuple[float | None, float | None]:
    """Return the ends of the interval of ``first - second`` over the same resamples; (None, None) where undefined.

    The percentiles are those of the expanded percentile interval, P(Z < −√(n/(n−1)) t), with t the quantile of
    Student's t with n − 1 degrees of freedom: plain percentiles are too narrow for few images (T. Hesterberg, What
    teachers should know about the bootstrap, The American Statistician 69, 2015, section 5.3).

    Args:
        first: (R,) values of one run on every resample.
        second: (R,) those of the other.
        confidence: nominal coverage.
        n: images that the values rest on, at least 2: those of the rarer class.
    """
    from scipy.stats import norm, t

    from benchmark.scoring.metrics.bootstrap import paired

    quantile = np.sqrt(n / (n - 1.0)) * t.ppf(0.5 + 0.5 * confidence, n - 1)
    found = paired(first, second, confidence=float(1.0 - 2.0 * norm.sf(quantile)))
    return found.low, found.high


def _differences(a: RunResult, b: RunResult, first: Path, second: Path) -> Iterator[str]:
    """What makes two runs incomparable."""
    if a.protocol.hash != b.protocol.hash:
        changed = [k for k, v in a.protocol.settings.items() if b.protocol.settings.get(k) != v]
        yield f"protocols differ ({a.protocol.name}, {b.protocol.name}: {', '.join(changed)})"
    if a.dataset.fingerprint != b.dataset.fingerprint:
        data = ", ".join(f"{r.dataset.name} {r.dataset.fingerprint[:8]}" for r in (a, b))
        yield f"datasets differ ({data})"
    elif set(files.read_rows(first)["id"]) != set(files.read_rows(second)["id"]):
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


def _line(row: MetricRecord, other: MetricRecord, paired: Replicates | None, confidence: float) -> Line:
    low = high = None
    key = (row.metric, row.category)
    if paired is not None and row.value is not None and other.value is not None and row.n > 1:
        one, two = paired[0].get(key), paired[1].get(key)
        if one is not None and two is not None and one.shape == two.shape:
            low, high = paired_interval(one, two, confidence=confidence, n=_fewer(row))
    remark = "; ".join(dict.fromkeys(r for r in (row.reason, other.reason) if r))
    return Line(
        metric=row.metric, category=row.category, first=row.value, second=other.value, low=low, high=high, n=row.n,
        remark=remark,
    )  # fmt: skip


def _fewer(row: MetricRecord) -> int:
    """Images of the rarer class among those of a row: the spread of F2, AP or recall is mostly theirs."""
    classes = [k for k in (row.n_defective, row.n - row.n_defective) if k]
    return max(2, min(classes, default=row.n))


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
