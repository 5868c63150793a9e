"""``reproduce``: the tables of a paper, ours beside theirs."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import refuse, settings_and_names
from benchmark.core.addresses import results_root_of
from benchmark.core.errors import ConfigError


def reproduce(
    paper: Annotated[str, typer.Argument(help="A paper of baselines/tables.", show_default=False)] = "",
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TABLE | key=value]...", help="Tables (none: all of the paper), and settings."),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing, and the cost.")] = False,
) -> int:
    """Run the tables of a paper: reproduce domain_gap 1 [dry_run] [key=value ...]."""
    from benchmark.config.compose import compose
    from benchmark.core.table import show
    from benchmark.report.papers.paper import load_paper, paper_names
    from benchmark.report.papers.paper_table import show_plan, show_table, write_table
    from benchmark.running.costs import costs_grid
    from benchmark.running.reproduce import check_settings, general
    from benchmark.running.reproduce import reproduce as run_table

    settings, names = settings_and_names(words)
    if not paper:
        raise ConfigError(f"say which paper: make reproduce PAPER=… ({', '.join(paper_names())})")
    chosen = load_paper(paper)
    refuse(
        names,
        [*chosen.tables, *chosen.costs, "dry_run"],
        what=f"a table of {paper} (TABLE=…) or a word of this command",
    )
    wanted = names or [*chosen.tables, *chosen.costs]
    tables = {number: chosen.tables[number] for number in wanted if number in chosen.tables}
    check_settings(chosen, list(tables.values()), settings)
    root = results_root_of(compose(general(settings))[0])
    for number, table in tables.items():
        name = f"{paper}-table-{number}"
        planned = run_table(chosen, table, name=name, dry=dry_run, extra=settings)
        if dry_run:
            show_plan(chosen, table, planned)
        else:
            show_table(chosen, table, planned)
            print("written:", write_table(root / "papers", name, chosen, table, planned))
    for number in (n for n in wanted if n in chosen.costs):
        show(costs_grid(chosen, chosen.costs[number], root / "latency"))
    return 0
