"""Plots of sweeps: a metric over one parameter as lines, over two as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.scoring.metrics.registry import title

if TYPE_CHECKING:
    import pandas as pd


def sweep_plots(table: pd.DataFrame, parameters: Sequence[str], metric: str, folder: Path) -> list[Path]:
    """Write one line plot per numeric parameter and, for two of them, a heat map; returns the files.

    Args:
        table: one row a point, with the columns of ``parameters`` and ``metric`` (and ``<metric>_low``, ``_high``).
        parameters: swept parameters; those that are not numeric are drawn as series.
        metric: the value drawn.
        folder: where the PNG files go.
    """
    import pandas as pd

    done = table[table[metric].notna()]
    numeric = [p for p in parameters if len(done) and pd.api.types.is_numeric_dtype(done[p]) and done[p].nunique() > 1]
    written = [_lines(done, p, [q for q in parameters if q != p], metric, folder) for p in numeric]
    if len(numeric) == 2 and len(parameters) == 2:
        written.append(_heat_map(done, numeric[0], numeric[1], metric, folder))
    return written


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _lines(table: pd.DataFrame, parameter: str, others: Sequence[str], metric: str, folder: Path) -> Path:
    figure, axes = _figure()
    series = [((), table)] if not others else list(table.groupby(list(others), dropna=False))
    for key, rows in series:
        ordered = rows.sort_values(parameter)
        label = ", ".join(f"{_short(o)} {v}" for o, v in zip(others, key, strict=True)) if others else None
        (line,) = axes.plot(ordered[parameter], ordered[metric].astype(float), marker="o", markersize=3.5, label=label)
        low, high = ordered.get(f"{metric}_low"), ordered.get(f"{metric}_high")
        if len(series) == 1 and low is not None and high is not None and low.notna().all():
            axes.fill_between(
                ordered[parameter], low.astype(float), high.astype(float), alpha=0.15, color=line.get_color()
            )
    axes.set_xlabel(_short(parameter))
    axes.set_ylabel(_short(title(metric)))
    axes.grid(alpha=0.3)
    if others:
        axes.legend(fontsize=7, ncols=2 if len(series) > 6 else 1)
    path = folder / f"{metric}_over_{parameter.rpartition('.')[2]}.png"
    figure.savefig(path)
    return path


def _heat_map(table: pd.DataFrame, x: str, y: str, metric: str, folder: Path) -> Path:
    grid = table.pivot_table(index=y, columns=x, values=metric, aggfunc="mean")
    figure, axes = _figure()
    image = axes.imshow(grid.to_numpy(dtype=float), origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(grid.shape[1]), [f"{v:g}" for v in grid.columns])
    axes.set_yticks(range(grid.shape[0]), [f"{v:g}" for v in grid.index])
    axes.set_xlabel(_short(x))
    axes.set_ylabel(_short(y))
    figure.colorbar(image, ax=axes, label=_short(title(metric)))
    path = folder / f"{metric}_heat_map.png"
    figure.savefig(path)
    return path
