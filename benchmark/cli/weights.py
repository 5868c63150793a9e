"""``weights``: get the weights files of pipelines."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import refuse, settings_and_names
from benchmark.core.errors import ConfigError

SWITCHES = ("dry_run", "offline")


def weights(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PIPELINE... [key=value]...",
            help="Options of conf/pipeline, names of the weights registry, or hub:OWNER/NAME; and settings of a run "
            "(backbone@pipeline.backbone=resnet50, run.weights_root=FOLDER).",
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
    from benchmark.config.needs import lacks, needed_by
    from benchmark.config.options import options
    from benchmark.weights import find, hub
    from benchmark.weights import names as registered
    from benchmark.weights.fetch import Request, fetch

    settings, names = settings_and_names(words)
    pipelines = options("pipeline")
    if not names:
        raise ConfigError(
            f"name a pipeline, and any of: {', '.join(SWITCHES)}, mirror=URL, and settings of a run. "
            f"Pipelines: {', '.join(pipelines)}"
        )
    refuse([name for name in names if not hub.is_name(name)], [*pipelines, *registered(), *SWITCHES], what="a pipeline")
    request = Request(names=tuple(names), overrides=tuple(settings), mirror=mirror, dry_run=dry_run, offline=offline)
    wanted, root = needed_by(request)
    lacking = {name: told for name in names if (told := lacks(name, settings))}
    for name, (phrase, fix) in lacking.items():
        give = f"; give {fix.replace(f'{name}.', 'pipeline.')}" if fix else ""
        print(f"{name}: {phrase}, and none that can be fetched{give}")
    if not wanted and not lacking:
        print(f"{', '.join(names)}: no weights files are needed with these settings")
    fetch([find(name) for name in wanted if not hub.is_name(name)], root, request)
    for name in filter(hub.is_name, wanted):
        if dry_run:
            print(f"{name} ({'there' if hub.is_here(name) else 'missing'}; from the hub, into its own cache)")
        else:
            found = hub.fetch(name, offline=offline)
            print(f"{name}: {found.path}, sha256 {found.sha256}; its licence is on the model's page")
    return 0
