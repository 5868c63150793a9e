"""Spread over seeds: points of a sweep that differ in nothing but a seed are one method, drawn several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.core.table import Grid
from benchmark.scoring.metrics.registry import title

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("mean", "sd", "least", "most")
"""Columns ``<metric>_<measure>`` of each metric; sd is the sample standard deviation."""


def is_seed(parameter: str) -> bool:
    """Whether a swept setting is a seed: ``run.seed``, ``dataset.split_seed``, ``pipeline.normals.seed``."""
    return parameter.rpartition(".")[2] in ("seed", "split_seed")


def over_seeds(table: pd.DataFrame, parameters: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame | None:
    """Summarise metrics over the seeds of every setting.

    Args:
        table: one row a point, with the columns of ``parameters``, ``metrics`` and ``status``.
        parameters: what was swept.
        metrics: columns of metrics, NaN where undefined.

    Returns:
        One row a setting that two seeds or more have finished: the other parameters, ``seeds`` (their number), and
        ``<metric>_mean``, ``_sd``, ``_least`` and ``_most`` over the seeds where the metric is defined; None where no
        setting has two.
    """
    import pandas as pd

    others = [p for p in parameters if not is_seed(p)]
    if len(others) == len(parameters):
        return None
    done = table[table["status"] == "ok"]
    groups = [((), done)] if not others else list(done.groupby(others, dropna=False, sort=False))
    rows = []
    for key, points in groups:
        if len(points) < 2:
            continue
        row = {**dict(zip(others, key, strict=True)), "seeds": len(points)}
        for name in metrics:
            values = points[name].astype(float)
            measured = (values.mean(), values.std(ddof=1), values.min(), values.max())
            row |= {f"{name}_{measure}": value for measure, value in zip(MEASURES, measured, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows) if rows else None


def seeds_grid(spread: pd.DataFrame, parameters: Sequence[str], metrics: Sequence[str]) -> Grid:
    """Lay the spread out: mean ± standard deviation of every metric, with the least and the most."""
    others = [p for p in parameters if not is_seed(p)]
    rows = []
    for _, row in spread.iterrows():
        settings = ("–" if row[p] is None or row[p] != row[p] else str(row[p]) for p in others)
        rows.append(
            (*settings, str(row["seeds"]), *(_cell(*(row[f"{m}_{part}"] for part in MEASURES)) for m in metrics))
        )
    heads = (*(p.removeprefix("pipeline.") for p in others), "seeds", *(title(m) for m in metrics))
    return Grid(
        title="Spread over seeds",
        columns=heads,
        rows=tuple(rows),
        notes=(
            "mean ± standard deviation over seeds (least – most); intervals over images do not include this spread",
            "the best of several seeds is no result of a method",
        ),
        left=frozenset(range(len(heads))),
    )


def _cell(mean: float, sd: float, least: float, most: float) -> str:
    if mean != mean:
        return "–"
    return f"{mean:.4f}" if sd != sd else f"{mean:.4f} ± {sd:.4f} ({least:.4f} – {most:.4f})"
