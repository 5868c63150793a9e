"""``latency``: how long one image takes, and many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import path


def latency(
    words: Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="Settings of a run.")] = None,
    *,
    out: Annotated[Path | None, typer.Option(parser=path, help="The JSON file.")] = None,
) -> int:
    """Time predictions, cold and warm, one by one and together: latency dataset=sat pipeline=patchcore run.limit=40."""
    from benchmark.config.compose import compose
    from benchmark.config.schema import build
    from benchmark.core.table import show
    from benchmark.results import files
    from benchmark.running.latency import grid, measure_latency

    config = build(*compose(list(words or ())))
    found = measure_latency(config)
    show(grid(found))
    target = out or config.run.results_root / "latency" / f"{found.dataset}-{found.pipeline}.json"
    text = found.model_dump_json(indent=1).encode() + b"\n"
    files.write_atomically(target, text, setting="out" if out else "run.results_root")
    print(f"written: {target}")
    return 0
