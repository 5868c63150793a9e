"""``weights``: get the weights files of pipelines."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import refuse, settings_and_names
from benchmark.errors import ConfigError

SWITCHES = ("dry_run", "offline")


def weights(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PIPELINE... [key=value]...",
            help="Options of conf/pipeline, or names of conf/weights; and settings of a run "
            "(pipeline.backbone=resnet50, run.weights_root=FOLDER).",
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List files, sizes and licences; fetch nothing.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            envvar="BENCH_WEIGHTS_MIRROR",
            help="Address of a folder with the files under the same names, asked before the official address.",
        ),
    ] = None,
) -> int:
    """Get what a pipeline needs, with resume and checksums: weights saa_plus [dry_run]."""
    from benchmark.config import options
    from benchmark.weights.fetch import Request, fetch, needed_by
    from benchmark.weights.registry import names as registered

    settings, names = settings_and_names(words)
    pipelines = options("pipeline")
    if not names:
        raise ConfigError(
            f"name a pipeline, and any of: {', '.join(SWITCHES)}, mirror=URL, and settings of a run. "
            f"Pipelines: {', '.join(pipelines)}"
        )
    refuse(names, [*pipelines, *registered(), *SWITCHES], what="a pipeline")
    request = Request(names=tuple(names), overrides=tuple(settings), mirror=mirror, dry_run=dry_run, offline=offline)
    needed, root = needed_by(request)
    return fetch(needed, root, request)
