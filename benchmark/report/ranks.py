"""Several methods over categories or datasets: average ranks, Friedman's and Wilcoxon's tests, critical difference.

After J. Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ResultsError
from benchmark.core.table import Grid
from benchmark.report.papers.fairness import is_partial
from benchmark.report.papers.significance import holm
from benchmark.report.run_names import method_key, method_names
from benchmark.report.tables import number
from benchmark.results.schema import RunResult
from benchmark.scoring.metrics.registry import title

FEWEST = 5
"""Categories below which ranks say nothing: five signs that agree have p = 0.06."""
LEVEL = 0.05

Block = tuple[str, str]
"""Dataset (its fingerprint) and category."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One metric of several methods over the categories on which all of them ran; the best has the lowest rank."""

    metric: str
    methods: tuple[str, ...]
    """Best average rank first."""
    ranks: tuple[float, ...]
    means: tuple[float, ...]
    n: int
    """Categories."""
    datasets: tuple[str, ...]
    friedman: float
    """P-value of the hypothesis that all methods are equally good."""
    critical: float
    """Difference of average ranks from which two methods differ (Nemenyi, 5 %)."""
    wilcoxon: Mapping[tuple[str, str], tuple[float, float]]
    """Pair of methods, better rank first -> p of the signed-rank test, and the same corrected for all pairs (Holm)."""


def rank(metric: str, values: NDArray[np.float64], methods: Sequence[str], datasets: Sequence[str]) -> Ranking:
    """Rank methods by a table of values.

    Args:
        metric: its name.
        values: (N, k) one row a category, one column a method; which end is better, the metric says.
        methods: k of them, at least 3.
        datasets: names of those that the categories are of.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

    from benchmark.scoring.metrics.registry import best_of

    n, k = values.shape
    values = values if best_of(metric, (0.0, 1.0)) == 1.0 else -values
    average = rankdata(-values, axis=1).mean(axis=0)
    order = np.argsort(average, kind="stable")
    pairs = [(int(a), int(b)) for a, b in itertools.combinations(order, 2)]
    raw = {}
    for a, b in pairs:
        gaps = values[:, a] - values[:, b]
        raw[methods[a], methods[b]] = float(wilcoxon(gaps, zero_method="zsplit").pvalue) if gaps.any() else 1.0
    corrected = holm(raw)
    equal = bool((values == values[:, :1]).all())
    return Ranking(
        metric=metric,
        methods=tuple(methods[i] for i in order),
        ranks=tuple(float(average[i]) for i in order),
        means=tuple(float(values[:, i].mean()) for i in order),
        n=n,
        datasets=tuple(datasets),
        friedman=1.0 if equal else float(friedmanchisquare(*values.T).pvalue),
        critical=float(studentized_range.ppf(1.0 - LEVEL, k, np.inf) / np.sqrt(2.0) * np.sqrt(k * (k + 1) / (6.0 * n))),
        wilcoxon={pair: (raw[pair], corrected[pair]) for pair in raw},
    )


def rankings(runs: Sequence[RunResult], names: Mapping[str, str]) -> Iterator[Ranking]:
    """Rank the methods of runs under one protocol by every metric; those that share too few categories are left out.

    Args:
        runs: under one protocol; partial ones and those of random weights take no part.
        names: run id -> what the method is called.
    """
    whole = [r for r in runs if not is_partial(r)]
    for metric in dict.fromkeys(m.metric for r in whole for m in r.metrics):
        table: dict[str, dict[Block, float]] = {}
        for result in whole:
            own = table.setdefault(method_key(result), {})
            for row in result.metrics:
                if row.metric == metric and row.category in result.dataset.categories and row.value is not None:
                    own[result.dataset.fingerprint, row.category] = row.value
        chosen, blocks = _shared(table)
        if len(chosen) < 3 or len(blocks) < FEWEST:
            continue
        values = np.array([[table[method][block] for method in chosen] for block in blocks])
        titles = {method_key(r): names[r.id] for r in reversed(whole)}
        called = {r.dataset.fingerprint: r.dataset.name for r in whole}
        datasets = dict.fromkeys(called[fingerprint] for fingerprint, _ in blocks)
        yield rank(metric, values, [titles[m] for m in chosen], list(datasets))


def _shared(table: Mapping[str, Mapping[Block, float]]) -> tuple[list[str], list[Block]]:
    """Methods with enough categories in common; the one with the fewest is left out until there are."""
    methods = sorted((m for m in table if table[m]), key=lambda m: (-len(table[m]), m))
    while methods:
        blocks = sorted(set.intersection(*(set(table[m]) for m in methods)))
        if len(blocks) >= FEWEST:
            return methods, blocks
        methods.pop()
    return [], []


def compare_many(runs: Sequence[RunResult]) -> Grid:
    """Lay out the ranks of three or more methods as a table, one row a metric.

    Args:
        runs: of one protocol, on one or more datasets; each method on each of them.

    Raises:
        ResultsError: protocols differ, or too few categories are shared.
    """
    if len({r.protocol.hash for r in runs}) > 1:
        protocols = ", ".join(sorted({r.protocol.name for r in runs}))
        raise ResultsError(f"the runs are of different protocols ({protocols}); run all under one protocol=…")
    names = method_names(runs)
    found = list(rankings(runs, names))
    if not found:
        raise ResultsError(
            f"ranks need three methods and {FEWEST} categories or datasets that all of them ran on whole; "
            "name two runs to compare them image by image"
        )
    methods = list(dict.fromkeys(m for r in found for m in r.methods))
    rows = []
    for one in found:
        by_method = dict(zip(one.methods, zip(one.ranks, one.means, strict=True), strict=True))
        cells = [f"{by_method[m][0]:.2f} ({number(by_method[m][1], 3)})" if m in by_method else "–" for m in methods]
        differ = [f"{a} over {b}, p {p:.3f}" for (a, b), (_, p) in one.wilcoxon.items() if p <= LEVEL]
        rows.append(
            (title(one.metric), *cells, str(one.n), f"{one.friedman:.4f}", f"{one.critical:.2f}", "; ".join(differ))
        )
    notes = (
        "average rank over categories, 1 is best (mean value); p: Friedman's test that all are equal",
        "CD: ranks that far apart differ (Nemenyi, 5 %)",
        "better: Wilcoxon's signed ranks, corrected for all pairs (Holm)",
        f"protocol {runs[0].protocol.name}; datasets: {', '.join(found[0].datasets)}",
    )
    columns = ("metric", *methods, "categories", "p", "CD", "better")
    return Grid(
        title="Average ranks", columns=columns, rows=tuple(rows), notes=notes, left=frozenset({0, len(columns) - 1})
    )
