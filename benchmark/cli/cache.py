"""``cache``: what the stage store holds, and how to make it smaller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.words import Command, folder_or_address, path
from benchmark.core.text import counted, shown_bytes

if TYPE_CHECKING:
    from benchmark.stages.store import Store

app = typer.Typer(rich_markup_mode=None, help="The stage store: sizes (the default), prune, verify, explain.")
Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only this stage; may be given several times.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")]


def _store(context: typer.Context) -> Store:
    opened: Store = context.obj.open()
    return opened


@app.callback(invoke_without_command=True)
def _cache(
    context: typer.Context,
    root: Annotated[
        Any,
        typer.Option(
            parser=folder_or_address, envvar="BENCH_CACHE", metavar="PLACE", help="Cache folder or s3://bucket/prefix."
        ),
    ] = Path(".cache"),
    local: Annotated[
        Path,
        typer.Option(parser=path, envvar="BENCH_CACHE_LOCAL", help="Cache folder of this machine beside an address."),
    ] = Path(".cache"),
) -> None:
    from benchmark.stages.opening import StorePlace

    context.obj = StorePlace(root=root, local=local)
    if context.invoked_subcommand is None:
        sizes(context)


@app.command("sizes", cls=Command)
def sizes(context: typer.Context, stage: Stages = None) -> None:
    """Show entries, bytes and last use by stage."""
    from benchmark.stages.maintenance import show_sizes

    show_sizes(_store(context), stage or [])


@app.command("prune", cls=Command)
def prune(
    context: typer.Context,
    stage: Stages = None,
    older: Annotated[str | None, typer.Option(metavar="30d", help="Unused for so long.")] = None,
    max_size: Annotated[str | None, typer.Option(metavar="10G", help="Until the rest is no larger than this.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Remove entries by age, size or stage, and what killed writers left behind."""
    from benchmark.stages import maintenance

    seconds = None if older is None else maintenance.age(older)
    limit = None if max_size is None else maintenance.size(max_size)
    count, held = maintenance.prune(_store(context), stages=stage or [], older=seconds, max_size=limit, dry_run=dry_run)
    print(f"{counted(f'{count:,}', 'file')}, {shown_bytes(held)} {'would be ' if dry_run else ''}removed")
    if not stage and older is None and max_size is None:
        print("to remove more, say which: --older 30d, --max-size 10G or --stage NAME")


@app.command("verify", cls=Command)
def verify(context: typer.Context, stage: Stages = None, dry_run: DryRun = False) -> None:
    """Read all entries and remove the damaged ones."""
    from benchmark.stages import maintenance

    read, damaged = maintenance.verify(_store(context), stages=stage or [], dry_run=dry_run)
    for entry in damaged:
        print(f"damaged: {entry.path}")
    gone = f" and {'would be ' if dry_run else ''}removed" if damaged else ""
    print(f"{counted(f'{read:,}', 'entry', 'entries')} read, {len(damaged):,} damaged{gone}")


@app.command("explain", cls=Command)
def explain(context: typer.Context, stage: Stages = None) -> None:
    """Say which settings results are stored for, and what changed between them."""
    from benchmark.stages.maintenance import show_settings

    show_settings(_store(context), stage or [])
